// A small NVMe driver in the order of Linux's: reset, admin queue, enable, queues; it knows the public registers only.

import type { NvmeDevice } from "../../src/devices/index.ts";
import { PCI_COMMAND } from "../../src/index.ts";
import { FakeMemory, IrqLog } from "./memory.ts";

export interface Completion {
  result: number;
  sqHead: number;
  sqId: number;
  cid: number;
  /** SC, SCT, M, DNR: the status field without the phase. */
  status: number;
}

export interface Command {
  opcode: number;
  flags?: number;
  nsid?: number;
  prp1?: number;
  prp2?: number;
  cdw10?: number;
  cdw11?: number;
  cdw12?: number;
  cdw13?: number;
}

interface Pair {
  sq: number;
  cq: number;
  entries: number;
  tail: number;
  head: number;
  phase: number;
}

export const BASE = 0x1_0010_0000;
const ASQ = BASE;
const ACQ = BASE + 0x1000;
const IO_SQ = BASE + 0x2000;
const IO_CQ = BASE + 0x4000;
/** Free for the tests: data and PRP lists. */
export const DATA = BASE + 0x10000;
export const CC_RUN = 0x00460000;

export class NvmeDriver {
  readonly device: NvmeDevice;
  readonly memory: FakeMemory;
  readonly irq = new IrqLog();
  readonly pairs: Pair[] = [];
  #cid = 0;
  readonly #out = new Uint32Array(2);

  constructor(device: NvmeDevice, memory = new FakeMemory(BASE, 0x40_0000)) {
    this.device = device;
    this.memory = memory;
    device.dma = memory;
    device.irq = this.irq;
    device.config.write(PCI_COMMAND, 2, 0x0406);
  }

  read32(offset: number): number {
    this.device.readBar(0, offset, 4, this.#out);
    return this.#out[0]!;
  }
  write32(offset: number, value: number): void {
    this.device.writeBar(0, offset, 4, value, 0);
  }
  writeAddress(offset: number, address: number): void {
    this.write32(offset, address % 0x1_0000_0000);
    this.write32(offset + 4, Math.floor(address / 0x1_0000_0000));
  }

  /** Bring-up to CSTS.RDY with admin queues of 32 entries. */
  enable(cc = CC_RUN): void {
    this.write32(0x14, 0);
    this.memory.bytes.fill(0, 0, 0x10000);
    this.write32(0x24, 0x001f001f);
    this.writeAddress(0x28, ASQ);
    this.writeAddress(0x30, ACQ);
    this.write32(0x14, cc);
    this.write32(0x14, cc | 1);
    this.pairs.length = 0;
    this.pairs[0] = { sq: ASQ, cq: ACQ, entries: 32, tail: 0, head: 0, phase: 1 };
  }

  /** Message interrupts for the first vectors, unmasked. */
  enableMsix(vectors: number): void {
    const msix = this.device.msix!;
    for (let n = 0; n < vectors; n++) msix.program(n, 0, 0xfee00000, 0x40 + n);
    msix.setControl(true);
  }

  createIoQueues(id: number, entries = 64, vector = 0): void {
    const sq = IO_SQ + (id - 1) * 0x6000;
    const cq = IO_CQ + (id - 1) * 0x6000;
    const size = (entries - 1) * 0x10000;
    this.ok(this.admin({ opcode: 5, prp1: cq, cdw10: size + id, cdw11: vector * 0x10000 + 3 }));
    this.ok(this.admin({ opcode: 1, prp1: sq, cdw10: size + id, cdw11: id * 0x10000 + 1 }));
    this.pairs[id] = { sq, cq, entries, tail: 0, head: 0, phase: 1 };
  }

  ok(completion: Completion | null): Completion {
    if (completion === null || completion.status !== 0)
      throw new Error(`command failed: ${JSON.stringify(completion)}`);
    return completion;
  }

  admin(command: Command): Completion | null {
    return this.submit(0, command);
  }
  io(command: Command, queue = 1): Completion | null {
    return this.submit(queue, { nsid: 1, ...command });
  }

  /** Submit one command and take its completion; null when none came. */
  submit(queue: number, command: Command): Completion | null {
    this.place(queue, command);
    this.ring(queue);
    return this.reap(queue);
  }

  /** Write a submission entry without ringing. Returns its command id. */
  place(queue: number, command: Command): number {
    const pair = this.pairs[queue]!;
    const cid = this.#cid++ & 0xffff;
    const at = pair.sq + pair.tail * 64 - this.memory.base;
    const { view } = this.memory;
    const words = new Array<number>(16).fill(0);
    words[0] = command.opcode | ((command.flags ?? 0) << 8) | (cid << 16);
    words[1] = command.nsid ?? 0;
    [words[6], words[7]] = halves(command.prp1 ?? 0);
    [words[8], words[9]] = halves(command.prp2 ?? 0);
    words[10] = command.cdw10 ?? 0;
    words[11] = command.cdw11 ?? 0;
    words[12] = command.cdw12 ?? 0;
    words[13] = command.cdw13 ?? 0;
    words.forEach((word, i) => {
      view.setUint32(at + i * 4, word, true);
    });
    pair.tail = (pair.tail + 1) % pair.entries;
    return cid;
  }

  ring(queue: number): void {
    this.write32(0x1000 + queue * 8, this.pairs[queue]!.tail);
  }

  reap(queue: number, acknowledge = true): Completion | null {
    const pair = this.pairs[queue]!;
    const at = pair.cq + pair.head * 16 - this.memory.base;
    const { view } = this.memory;
    const word = view.getUint16(at + 14, true);
    if ((word & 1) !== pair.phase) return null;
    pair.head = (pair.head + 1) % pair.entries;
    if (pair.head === 0) pair.phase ^= 1;
    if (acknowledge) this.write32(0x1004 + queue * 8, pair.head);
    return {
      result: view.getUint32(at, true),
      sqHead: view.getUint16(at + 8, true),
      sqId: view.getUint16(at + 10, true),
      cid: view.getUint16(at + 12, true),
      status: word >> 1,
    };
  }

  data(at: number, length: number): Uint8Array {
    return this.memory.bytes.subarray(at - this.memory.base, at - this.memory.base + length);
  }
}

function halves(address: number): [number, number] {
  return [address % 0x1_0000_0000, Math.floor(address / 0x1_0000_0000)];
}
