// The guest's time base: that of the host (512 MHz of the kernel's clock) plus an offset, as far as the CPU's own count of
// ticks has not run ahead of it. Source: KVM_REG_PPC_TB_OFFSET in arch/powerpc/kvm/book3s_hv.c.
// Invariant: guest time never goes backwards.

import type { Clock } from "@minivmm/host/model";
import type { PowerCpu } from "./engine.ts";

export const TICKS_PER_MS = 512_000;
/** Beyond this a time base is no exact number with room to go on. */
const LATEST = 2 ** 52;

export class GuestClock {
  readonly #clock: Clock;
  #offset = 0n;
  #ticks = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get offset(): bigint {
    return this.#offset;
  }

  setOffset(offset: bigint): number {
    this.#offset = offset;
    this.#ticks = Number(BigInt.asIntN(64, offset));
    return 0;
  }

  /** Moves the CPU's time base up to the host's. */
  sync(cpu: PowerCpu): void {
    const now = Math.floor(this.#clock.now() * TICKS_PER_MS) + this.#ticks;
    const behind = now - cpu.timebase();
    if (behind > 0 && now < LATEST) cpu.advanceTimebase(behind);
  }

  /** Calls `fn` when the decrementer's interrupt is due. */
  whenDue(cpu: PowerCpu, fn: () => void): { cancel(): void } {
    return this.#clock.after(cpu.ticksToDecrementer() / TICKS_PER_MS, fn);
  }
}
