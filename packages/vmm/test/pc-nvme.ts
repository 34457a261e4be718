// What a guest's driver does with an NVMe controller: admin queues in guest RAM, one command at a time, MSI-X.
// Source: NVM Express 1.4 sections 3.1 and 4, PCI Local Bus 3.0 section 6.8.2.
import { type GuestFunction, MSI_ADDRESS, type PcBench } from "./pc-bench.ts";

const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;
const DOORBELLS = 0x1000;
export const MSIX_TABLE = 0x2000;
export const MSIX_PBA = 0x3000;
const CAP_MSIX = 0x11;

const CREATE_SQ = 0x01;
const CREATE_CQ = 0x05;
const IDENTIFY = 0x06;
const READ = 0x02;
const ENTRIES = 16;

interface Queue {
  readonly id: number;
  /** Where in RAM: a page of commands and a page of completions. */
  readonly at: number;
  issued: number;
}

export class NvmeGuest {
  readonly fn: GuestFunction;
  private readonly bench: PcBench;
  private readonly admin: Queue;

  /** `queues`: where in RAM its admin queues are, two pages. */
  constructor(bench: PcBench, slot: number, queues = 0x1_0000) {
    this.bench = bench;
    this.fn = bench.slot(slot);
    this.admin = { id: 0, at: queues, issued: 0 };
  }

  get status(): number {
    return this.fn.reg(CSTS);
  }

  start(): void {
    const { fn, admin } = this;
    fn.enable();
    fn.setReg(CC, 0);
    fn.setReg(AQA, (ENTRIES - 1) * 0x1_0001);
    fn.setReg(ASQ, admin.at, 8);
    fn.setReg(ACQ, admin.at + 0x1000, 8);
    fn.setReg(CC, 0x46_0001);
    admin.issued = 0;
  }

  /** Asks the controller who it is, into RAM at `address`. */
  identify(address = 0x2_0000): void {
    this.command(this.admin, { opcode: IDENTIFY, address, dwords: [1] });
  }

  /** What it has answered. */
  serial(address = 0x2_0000): string {
    const bytes = new Uint8Array(20);
    const piece = this.bench.ram.pieceOf(address, 4096);
    piece?.memory.readBytes(address + 4 - piece.start, bytes);
    return new TextDecoder().decode(bytes).trim();
  }

  /** A pair of I/O queues, two pages of RAM, whose completions interrupt by `vector`. */
  queuePair(id: number, at: number, vector: number): Queue {
    const size = id | ((ENTRIES - 1) << 16);
    this.command(this.admin, { opcode: CREATE_CQ, address: at + 0x1000, dwords: [size, 3 | (vector << 16)] });
    this.command(this.admin, { opcode: CREATE_SQ, address: at, dwords: [size, 1 | (id << 16)] });
    return { id, at, issued: 0 };
  }

  /** The disk's first block, to RAM at `address`. */
  readBlock(queue: Queue, address: number): void {
    this.command(queue, { opcode: READ, namespace: 1, address, dwords: [0, 0, 0] });
  }

  /** The status of a queue's last command; -1 when it is not completed. */
  statusOf(queue: Queue = this.admin): number {
    const { low } = this.bench.ram;
    const last = queue.issued - 1;
    const word = low.u32le(queue.at + 0x1000 + (last % ENTRIES) * 16 + 12);
    const phase = (Math.floor(last / ENTRIES) & 1) ^ 1;
    return ((word >>> 16) & 1) === phase && (word & 0xffff) === last ? word >>> 17 : -1;
  }

  setVector(vector: number, data: number, masked = false): void {
    const at = MSIX_TABLE + vector * 16;
    this.fn.setReg(at, MSI_ADDRESS);
    this.fn.setReg(at + 4, 0);
    this.fn.setReg(at + 8, data);
    this.mask(vector, masked);
  }

  mask(vector: number, masked: boolean): void {
    this.fn.setReg(MSIX_TABLE + vector * 16 + 12, masked ? 1 : 0);
  }

  pending(vector: number): boolean {
    return ((this.fn.reg(MSIX_PBA + (vector >> 5) * 4) >>> (vector & 31)) & 1) === 1;
  }

  setMsix(enabled: boolean, functionMask = false): void {
    const at = this.fn.capability(CAP_MSIX);
    this.fn.setConfig(at + 2, (enabled ? 0x8000 : 0) | (functionMask ? 0x4000 : 0), 2);
  }

  private command(queue: Queue, command: Command): void {
    const { opcode, namespace = 0, address, dwords } = command;
    const { low } = this.bench.ram;
    const at = queue.at + (queue.issued % ENTRIES) * 64;
    low.fill(at, 64, 0);
    low.setU32le(at, opcode | (queue.issued << 16));
    low.setU32le(at + 4, namespace);
    low.setU32le(at + 24, address % 2 ** 32);
    low.setU32le(at + 28, Math.floor(address / 2 ** 32));
    for (const [i, value] of dwords.entries()) low.setU32le(at + 40 + i * 4, value);
    queue.issued++;
    this.fn.setReg(DOORBELLS + queue.id * 8, queue.issued % ENTRIES);
    // Its completion has been seen.
    this.fn.setReg(DOORBELLS + queue.id * 8 + 4, queue.issued % ENTRIES);
  }
}

interface Command {
  readonly opcode: number;
  readonly namespace?: number;
  /** Of its data, or of the queue that it makes. */
  readonly address: number;
  /** From dword 10 on. */
  readonly dwords: readonly number[];
}
