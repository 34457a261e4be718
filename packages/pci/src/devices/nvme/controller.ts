// The controller behind the registers: queues, the loop that fetches, executes and completes commands, and the fatal
// state. Source: NVM Express 1.4 sections 4.1, 7.2 and 7.6.
// Invariants: commands complete inside the doorbell write that announced them; a doorbell rung by code that runs during
// that write only extends the loop, so a flood costs no stack; a command is fetched only when its completion has room;
// queue memory that the IOMMU refuses makes the controller fatal (CSTS.CFS), as section 9.5 asks.
import type { Disk } from "../disk.ts";
import { adminCommand } from "./admin.ts";
import type { CommandContext, NvmeFunction } from "./context.ts";
import { AsyncEvents } from "./events.ts";
import { Features } from "./features.ts";
import { NvmeInterrupts } from "./interrupts.ts";
import { ioCommand } from "./io.ts";
import { PrpTransfer } from "./prp.ts";
import {
  type CompletionQueue,
  CQE_SIZE,
  completionQueue,
  isFull,
  SQE_SIZE,
  type SubmissionQueue,
  submissionQueue,
} from "./queues.ts";
import { CSS_ADMIN, CSS_ALL, CSS_NVM, ccArbitration, ccCommandSet, ccPageShift, MPS_MAX } from "./registers.ts";
import type { NvmeSettings } from "./settings.ts";
import { Statistics } from "./statistics.ts";
import { INVALID_FIELD, INVALID_OPCODE, NO_COMPLETION, SUCCESS } from "./status.ts";

export interface AdminQueues {
  readonly aqa: number;
  readonly asqHi: number;
  readonly asqLo: number;
  readonly acqHi: number;
  readonly acqLo: number;
}

/** FUSE and PSDT: fused commands and scatter-gather lists do not exist here. */
const UNSUPPORTED_FLAGS = 0xc300;

export class NvmeController implements CommandContext {
  readonly device: NvmeFunction;
  readonly settings: NvmeSettings;
  readonly disk: Disk;
  readonly transfer: PrpTransfer;
  readonly features: Features;
  readonly interrupts: NvmeInterrupts;
  readonly events = new AsyncEvents();
  readonly statistics = new Statistics();
  /** By queue id; 0 is the admin pair. */
  readonly submissionQueues: (SubmissionQueue | null)[];
  readonly completionQueues: (CompletionQueue | null)[];
  /** CC at the time of enabling; bytes of a memory page that follow from it. */
  cc = 0;
  pageSize = 4096;
  /** Dword 0 of the completion in the making. */
  result = 0;
  /** CSTS.CFS */
  fatal = false;
  #live = false;
  #running = false;
  #again = false;
  readonly #sqe = new Uint32Array(SQE_SIZE / 4);
  readonly #sqeBytes = new Uint8Array(this.#sqe.buffer);
  readonly #cqe = new Uint32Array(CQE_SIZE / 4);
  readonly #cqeBytes = new Uint8Array(this.#cqe.buffer);

  constructor(device: NvmeFunction, settings: NvmeSettings, disk: Disk) {
    this.device = device;
    this.settings = settings;
    this.disk = disk;
    this.transfer = new PrpTransfer(4096 << settings.mdts);
    this.features = new Features(settings.vectors);
    this.interrupts = new NvmeInterrupts(device);
    this.submissionQueues = new Array(settings.queues + 1).fill(null);
    this.completionQueues = new Array(settings.queues + 1).fill(null);
  }

  get hasIoQueues(): boolean {
    return this.completionQueues.some((queue) => queue !== null && queue.id !== 0);
  }

  /** CC.EN set. False: the configuration is one this controller cannot run with. */
  enable(cc: number, queues: AdminQueues): boolean {
    const shift = ccPageShift(cc);
    const entries = { submission: (queues.aqa & 0xfff) + 1, completion: ((queues.aqa >> 16) & 0xfff) + 1 };
    const offset = (1 << shift) - 1;
    const aligned = ((queues.asqLo | queues.acqLo) & offset) === 0;
    const sized = entries.submission > 1 && entries.completion > 1;
    if (
      shift > 12 + MPS_MAX ||
      !this.#hasCommandSet(ccCommandSet(cc)) ||
      ccArbitration(cc) !== 0 ||
      !aligned ||
      !sized
    ) {
      this.fatal = true;
      return false;
    }
    this.cc = cc;
    this.pageSize = 1 << shift;
    const cqPlace = { id: 0, baseHi: queues.acqHi, baseLo: queues.acqLo, size: entries.completion };
    const cq = completionQueue(cqPlace, { vector: 0, enabled: true });
    const sqPlace = { id: 0, baseHi: queues.asqHi, baseLo: queues.asqLo, size: entries.submission };
    this.completionQueues[0] = cq;
    this.submissionQueues[0] = submissionQueue(sqPlace, cq);
    this.#live = true;
    return true;
  }

  #hasCommandSet(css: number): boolean {
    return css === CSS_NVM || (this.settings.commandSets && (css === CSS_ALL || css === CSS_ADMIN));
  }

  /** Controller reset: queues, features, events and outstanding interrupts are gone; statistics stay. */
  reset(): void {
    this.#live = false;
    this.fatal = false;
    this.submissionQueues.fill(null);
    this.completionQueues.fill(null);
    this.features.reset();
    this.events.reset();
    this.interrupts.reset();
  }

  /** CC.SHN: make everything durable and take no more commands. */
  shutdown(): void {
    this.#live = false;
    this.disk.flush();
  }

  /** Announce new entries of a submission queue. */
  ringSubmission(queue: SubmissionQueue, tail: number): void {
    queue.tail = tail;
    this.run();
  }

  /** The host consumed completions, so there may be room for commands that wait. */
  ringCompletion(queue: CompletionQueue, head: number): void {
    queue.head = head;
    this.interrupts.updatePin(this.completionQueues);
    if (this.#hasWork()) this.run();
  }

  /** Execute what is announced until nothing is left or nothing fits. */
  run(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.#pass();
        this.interrupts.deliver(this.completionQueues);
      }
    } finally {
      this.#running = false;
    }
  }

  #hasWork(): boolean {
    if (this.events.completions.length > 0) return true;
    for (const sq of this.submissionQueues) if (sq !== null && sq.head !== sq.tail) return true;
    return false;
  }

  /** Each queue in turn (round robin over whole queues, AB = no limit). */
  #pass(): void {
    this.#postEvents();
    for (let id = 0; id < this.submissionQueues.length && this.#live; id++) {
      const sq = this.submissionQueues[id]!;
      if (sq === null) continue;
      while (this.#live && sq.head !== sq.tail && !isFull(sq.cq)) {
        if (!this.#step(sq)) return;
        if (this.submissionQueues[id] !== sq) break;
      }
    }
    this.#postEvents();
  }

  /** Fetch, execute and complete one command. False: the controller became fatal. */
  #step(sq: SubmissionQueue): boolean {
    const at = sq.baseLo + sq.head * SQE_SIZE;
    const carry = at >= 0x1_0000_0000 ? 1 : 0;
    if (!this.device.dma.read(sq.baseHi + carry, at >>> 0, this.#sqeBytes)) return this.#fail();
    sq.head = sq.head + 1 === sq.size ? 0 : sq.head + 1;
    const sqe = this.#sqe;
    this.result = 0;
    let status: number;
    if (sqe[0]! & UNSUPPORTED_FLAGS) status = INVALID_FIELD;
    else if (sq.id === 0) status = adminCommand(this, sqe);
    else status = ccCommandSet(this.cc) === CSS_ADMIN ? INVALID_OPCODE : ioCommand(this, sqe);
    if (status === NO_COMPLETION) return true;
    const cid = sqe[0]! >>> 16;
    if (status !== SUCCESS) {
      this.statistics.failed(sq.id, cid, status, sq.id === 0 ? 0 : sqe[11]! * 0x1_0000_0000 + sqe[10]!, sqe[1]!);
    }
    return this.#post(sq.cq, sq.head | (sq.id << 16), cid, this.result, status);
  }

  #postEvents(): void {
    const { completions } = this.events;
    const sq = this.submissionQueues[0];
    while (this.#live && sq && completions.length > 0 && !isFull(sq.cq)) {
      const { cid, result, status } = completions.shift()!;
      if (!this.#post(sq.cq, sq.head, cid, result, status)) return;
    }
  }

  #post(cq: CompletionQueue, source: number, cid: number, result: number, status: number): boolean {
    this.#cqe[0] = result;
    this.#cqe[1] = 0;
    this.#cqe[2] = source;
    this.#cqe[3] = cid | (((status << 1) | cq.phase) << 16);
    const at = cq.baseLo + cq.tail * CQE_SIZE;
    const carry = at >= 0x1_0000_0000 ? 1 : 0;
    if (!this.device.dma.write(cq.baseHi + carry, at >>> 0, this.#cqeBytes)) return this.#fail();
    if (cq.tail + 1 === cq.size) {
      cq.tail = 0;
      cq.phase ^= 1;
    } else {
      cq.tail++;
    }
    this.interrupts.posted(cq);
    return true;
  }

  #fail(): false {
    this.fatal = true;
    this.#live = false;
    return false;
  }
}
