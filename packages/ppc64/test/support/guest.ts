// A small guest for engine tests: assembled code in RAM, a radix page table for virtual mode, a handler at any vector.
// Everything ends with a hypercall, so run() comes back: stop() checks that it did.

import { expect } from "vitest";
import { Assembler } from "../../src/asm/index.ts";
import { Cpu, type CpuOptions, ExitReason } from "../../src/index.ts";

export const REAL = 0x8000000000000001n;
export const VIRTUAL = 0x8000000000001033n;
export const USER = 0x800000000000f033n;
export const EE = 0x8000n;
export const KERNEL_BASE = 0xc000000000000000n;
export const RAM_BYTES = 16 << 20;

/** Process table, page directories, then tables for the low 2 MiB: fixed places near the end of RAM. */
const PROCESS_TABLE = 0xe00000;
const TABLES = 0xe10000;

export const Pte = { valid: 1n << 63n, leaf: 1n << 62n, ref: 0x100n, change: 0x80n, io: 0x20n } as const;
export const PRIVILEGED = 8n;
export const READ = 4n;
export const WRITE = 2n;
export const EXECUTE = 1n;

export class Guest {
  readonly cpu: Cpu;
  readonly ram: DataView;
  private nextTable = TABLES;

  constructor(options: Partial<CpuOptions> = {}) {
    this.cpu = Cpu.create({ ramBytes: RAM_BYTES, decodePages: 64, ...options });
    this.ram = new DataView(this.cpu.memory.buffer, this.cpu.ramOffset, this.cpu.ramBytes);
  }

  /** Places assembled code at a guest real address. */
  code(origin: number, write: (a: Assembler) => void): void {
    const a = new Assembler({ origin });
    write(a);
    new Uint8Array(this.cpu.memory.buffer, this.cpu.ramOffset + origin).set(a.bytes());
  }

  /** A handler that asks the host: hypercall, then whatever it does with the registers. */
  handler(vector: number): void {
    this.code(vector, (a) => a.sc(1));
  }

  start(pc: number | bigint, msr = REAL): void {
    this.cpu.pc = BigInt(pc);
    this.cpu.msr = msr;
  }

  /** Runs until the guest makes a hypercall; returns the address of the instruction that made it. */
  stop(budget = 100_000): bigint {
    expect(this.cpu.run(budget)).toBe(ExitReason.hcall);
    return this.cpu.pc - 4n;
  }

  set(n: number, value: bigint): void {
    this.cpu.gpr64[n] = BigInt.asUintN(64, value);
  }

  get(n: number): bigint {
    return this.cpu.gpr64[n]!;
  }

  /** Big-endian doubleword, as page tables have them. */
  entry(at: number, value?: bigint): bigint {
    if (value !== undefined) this.ram.setBigUint64(at, value);
    return this.ram.getBigUint64(at);
  }

  /** An empty process table (4 KiB) and one tree per pid: root index 13 bits. Returns the address of the root. */
  process(pid: number): number {
    const root = this.table(13);
    this.entry(PROCESS_TABLE + 16 * pid, (0b101n << 5n) | (2n << 61n) | BigInt(root) | 13n);
    this.cpu.setProcessTable(PROCESS_TABLE, 12);
    return root;
  }

  /**
   * Maps one page of 2^bits bytes (12, 16, 21 or 30) in the tree; levels of 13, 9, 9 and the rest.
   * Returns the address of its entry.
   */
  map(root: number, ea: bigint, real: number | bigint, rights: bigint, bits = 16): number {
    const widths = bits === 12 ? [13, 9, 9, 9] : bits === 16 ? [13, 9, 9, 5] : bits === 21 ? [13, 9, 9] : [13, 9];
    let [at, left] = [root, 52];
    for (const [level, width] of widths.entries()) {
      left -= width;
      const slot = at + 8 * Number((ea >> BigInt(left)) & ((1n << BigInt(width)) - 1n));
      if (level === widths.length - 1) {
        this.entry(slot, Pte.valid | Pte.leaf | BigInt(real) | rights);
        return slot;
      }
      if (this.entry(slot) === 0n) {
        const next = widths[level + 1]!;
        this.entry(slot, Pte.valid | BigInt(this.table(next)) | BigInt(next));
      }
      at = Number(this.entry(slot) & 0x0fffffffffffff00n);
    }
    throw new Error("unreachable: the last level returns");
  }

  private table(width: number): number {
    const at = this.nextTable;
    this.nextTable += 8 << width;
    return at;
  }
}

/** A guest with kernel tree (pid 0): RAM at KERNEL_BASE in 2 MiB pages, privileged, all rights; AIL on. */
export function virtualGuest(options: Partial<CpuOptions> = {}): { guest: Guest; kernel: number } {
  const guest = new Guest(options);
  const kernel = guest.process(0);
  for (let at = 0; at < RAM_BYTES; at += 1 << 21) {
    guest.map(kernel, KERNEL_BASE + BigInt(at), at, PRIVILEGED | READ | WRITE | EXECUTE, 21);
  }
  guest.cpu.setAil(true);
  return { guest, kernel };
}
