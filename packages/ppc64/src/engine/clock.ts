// Time: one tick of the time base per retired instruction, plus what advanceTimebase() skipped while the guest slept, so
// that runs are reproducible. The interpreter counts LEFT down; `retired` follows from it at any moment.
// The decrementer is a 32-bit counter; its interrupt is a level: the sign bit. Source: Power ISA 3.0B Book III chapter 7.

import { MSR_EE } from "./bits.ts";
import { END_TIME, LEFT, RECORD_BYTES } from "./layout.ts";
import type { CpuState } from "./state.ts";

/**
 * Keeps quota = LEFT + record address inside a signed 32-bit number, and lets a freshly optimised interpreter take over soon:
 * the JavaScript engine exchanges a Wasm function only when it is entered again.
 */
const LONGEST_RUN = 4_000_000;
const TWO32 = 2 ** 32;

export class Clock {
  private readonly state: CpuState;
  /** Instructions retired when LEFT is zero. */
  private endRetired = 0;
  private skipped = 0;
  /** DEC = decrementerZero - time base, modulo 2^32. */
  private decrementerZero = 0x7fffffff;
  /** Where run() wants to return. */
  private deadline = 0;

  constructor(state: CpuState) {
    this.state = state;
  }

  get retired(): number {
    return this.endRetired - this.state.i32[LEFT >> 2]! / RECORD_BYTES;
  }

  timebase(): number {
    return this.retired + this.skipped;
  }

  advance(ticks: number): void {
    if (ticks > 0) this.skipped += Math.floor(ticks);
    this.plan();
  }

  decrementer(): number {
    return (this.decrementerZero - this.timebase()) | 0;
  }

  setDecrementer(value: number): void {
    this.decrementerZero = this.timebase() + (value | 0);
    this.plan();
  }

  get decrementerPending(): boolean {
    return this.decrementer() < 0;
  }

  /** Ticks until the decrementer's interrupt is pending; 0 when it is. */
  ticksToDecrementer(): number {
    const value = this.decrementer();
    return value < 0 ? 0 : value + 1;
  }

  /** Count an instruction that the interpreter did not. */
  count(): void {
    this.state.i32[LEFT >> 2]! -= RECORD_BYTES;
  }

  setBudget(instructions: number): void {
    this.deadline = this.retired + Math.max(0, Math.floor(instructions));
    this.plan();
  }

  get budgetLeft(): number {
    return this.deadline - this.retired;
  }

  /** Sets LEFT to the next thing that has to be looked at; to be called when that may have changed. */
  plan(): void {
    const retired = this.retired;
    let left = Math.min(this.deadline - retired, LONGEST_RUN);
    if ((this.state.msrLo & MSR_EE) !== 0) left = Math.min(left, this.ticksToDecrementer());
    this.limit(retired, Math.max(left, 0));
  }

  /** Look again after one instruction (and the rest of its straight line). */
  planSoon(): void {
    this.limit(this.retired, 1);
  }

  private limit(retired: number, left: number): void {
    this.state.i32[LEFT >> 2] = left * RECORD_BYTES;
    this.endRetired = retired + left;
    const end = this.endRetired + this.skipped;
    this.state.u32[END_TIME >> 2] = end % TWO32;
    this.state.u32[(END_TIME >> 2) + 1] = Math.floor(end / TWO32);
  }
}
