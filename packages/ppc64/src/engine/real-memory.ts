// Where guest real addresses lie in the WebAssembly memory: RAM from 0 up in place, other memory behind PageFrames.
// Nothing here is on the fast path: the soft TLBs keep what was found.

import type { PageFrames } from "./page-frames.ts";

/** Addresses that are exact JavaScript numbers. */
const EXACT_HI = 2 ** 21;

export class RealMemory {
  readonly ramOffset: number;
  /** Bytes of RAM in place from guest real 0. Whoever changes it forgets all translations. */
  ramBytes: number;
  frames: PageFrames | undefined;

  constructor(ramOffset: number, ramBytes: number) {
    this.ramOffset = ramOffset;
    this.ramBytes = ramBytes;
  }

  /** Byte address of a guest real address, 0 where no memory is (0 itself is a register). */
  hostOf(lo: number, hi: number, write: boolean): number {
    if (hi === 0 && lo < this.ramBytes) return this.ramOffset + lo;
    if (this.frames === undefined || hi >= EXACT_HI) return 0;
    return this.frames.hostOf(hi * 2 ** 32 + lo, write);
  }

  /** The same for an address as one number, exact below 2^53. */
  hostAt(address: number, write: boolean): number {
    if (address < this.ramBytes) return this.ramOffset + address;
    return this.frames === undefined || address >= EXACT_HI * 2 ** 32 ? 0 : this.frames.hostOf(address, write);
  }

  /** Before the first access of an instruction. */
  prepare(): void {
    this.frames?.prepare();
  }
}
