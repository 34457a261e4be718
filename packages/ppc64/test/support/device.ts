// A device behind device addresses for engine tests: it answers what leaves run() until the guest makes a hypercall, and
// notes every transaction. Its pages are mapped twice, as tolerant I/O and guarded.
import { expect } from "vitest";
import type { Assembler } from "../../src/asm/index.ts";
import { ExitReason } from "../../src/index.ts";
import { type Guest, KERNEL_BASE, PRIVILEGED, READ, VIRTUAL, virtualGuest, WRITE } from "./guest.ts";

export const CODE = 0x10000;
const DATA = 0x20000;
export const DEVICE = 0x200080000000;
export const DEVICE_BYTES = 0x4000;
/** The same device, twice in the address space: tolerant, and guarded. */
export const TOLERANT = 0xc000080000000000n;
const GUARDED = 0xc000080010000000n;
export const Attribute = { tolerant: 0x30n, guarded: 0x20n } as const;
export const RIGHTS = PRIVILEGED | READ | WRITE;

export interface Transaction {
  readonly at: number;
  readonly kind: "burst" | "write" | "read";
  readonly bytes: readonly number[];
}

/** A device with memory; its transactions in order. */
export class Device {
  readonly memory = new Uint8Array(DEVICE_BYTES);
  readonly transactions: Transaction[] = [];

  /** Answers until the guest makes a hypercall (or the budget ends). */
  run({ cpu }: Guest, budget = 100_000): number {
    for (;;) {
      const reason = cpu.run(budget);
      if (reason === ExitReason.burst) this.burst(cpu.exit);
      else if (reason === ExitReason.mmio) {
        const { lo, hi } = this.access(cpu.exit);
        cpu.completeMmio(lo, hi);
      } else return reason;
    }
  }

  get writes(): Transaction[] {
    return this.transactions.filter(({ kind }) => kind !== "read");
  }

  private burst({ gpa, size, lo, hi, bytes }: Guest["cpu"]["exit"]): void {
    expect([size, gpa % 64]).toEqual([64, 0]);
    const present = [...bytes].flatMap((byte, n) =>
      ((n < 32 ? lo : hi) >>> (n & 31)) & 1 ? [[n, byte] as const] : [],
    );
    for (const [n, byte] of present) this.memory[gpa - DEVICE + n] = byte;
    this.transactions.push({ at: gpa + present[0]![0], kind: "burst", bytes: present.map(([, byte]) => byte) });
  }

  private access({ gpa, size, write, lo, hi }: Guest["cpu"]["exit"]): { lo: number; hi: number } {
    const value = new DataView(new ArrayBuffer(8));
    const at = gpa - DEVICE;
    value.setUint32(0, lo, true);
    value.setUint32(4, hi, true);
    const bytes = new Uint8Array(value.buffer, 0, size);
    if (write) this.memory.set(bytes, at);
    else bytes.set(this.memory.subarray(at, at + size));
    this.transactions.push({ at: gpa, kind: write ? "write" : "read", bytes: [...bytes] });
    return { lo: value.getUint32(0, true), hi: value.getUint32(4, true) };
  }
}

export interface Bench {
  readonly guest: Guest;
  readonly device: Device;
  readonly kernel: number;
}

const ALL = { start: DEVICE, end: DEVICE + DEVICE_BYTES };

/** r4 = the device, tolerant; r5 = the device, guarded; r6 = RAM. The program ends with a hypercall. */
export function bench(
  write: (a: Assembler) => void,
  combinable: readonly { start: number; end: number }[] = [ALL],
): Bench {
  const { guest, kernel } = virtualGuest();
  for (let at = 0; at < DEVICE_BYTES; at += 4096) {
    guest.map(kernel, TOLERANT + BigInt(at), DEVICE + at, RIGHTS | Attribute.tolerant, 12);
    guest.map(kernel, GUARDED + BigInt(at), DEVICE + at, RIGHTS | Attribute.guarded, 12);
  }
  guest.cpu.setCombinable(combinable);
  const made = { guest, device: new Device(), kernel };
  program(made, write);
  return made;
}

/** Another program, from the start. */
export function program({ guest, device }: Bench, write: (a: Assembler) => void): void {
  guest.code(CODE, (a) => {
    write(a);
    a.sc(1);
  });
  guest.cpu.flushTlb();
  device.memory.fill(0);
  device.transactions.length = 0;
  guest.set(3, 0x8877665544332211n);
  guest.set(4, TOLERANT);
  guest.set(5, GUARDED);
  guest.set(6, KERNEL_BASE + BigInt(DATA));
  guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL);
}
