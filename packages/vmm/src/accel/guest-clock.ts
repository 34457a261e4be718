// How the guest's timebase advances. The CPU engine counts it up with retired instructions; a clock may push it further.
// "wall": the timebase follows real time (pushed forward whenever the CPU lags behind it), an idle guest really waits.
// "instructions": nothing but instructions and idle skips move it, so a run repeats to the tick.
import { TIMEBASE_HZ } from "../machines/pseries/memory-map.ts";

/** What a clock needs of the CPU. */
export interface ClockedCpu {
  /** Timebase now, in ticks. */
  timebase(): number;
  /** Ticks until the decrementer interrupt; 0 or less when it is due. */
  ticksToDecrementer(): number;
  advanceTimebase(ticks: number): void;
}

export interface GuestClock {
  /** Called between slices of execution. */
  sync(): void;
  /** The guest is idle: either skips ahead and returns 0, or returns the milliseconds to wait for the decrementer. */
  idle(): number;
  /** Milliseconds since 1970 for the guest. */
  timeOfDay(): number;
}

const TICKS_PER_MS = TIMEBASE_HZ / 1000;

export function wallClock(cpu: ClockedCpu): GuestClock {
  let started = -1;
  const sync = (): void => {
    const now = performance.now();
    if (started < 0) started = now - cpu.timebase() / TICKS_PER_MS;
    const behind = Math.floor((now - started) * TICKS_PER_MS) - cpu.timebase();
    if (behind > 0) cpu.advanceTimebase(behind);
  };
  return {
    sync,
    idle() {
      sync();
      return Math.max(0, cpu.ticksToDecrementer() / TICKS_PER_MS);
    },
    timeOfDay: () => Date.now(),
  };
}

/** 2000-01-01: where the calendar of a repeatable run starts. */
const EPOCH_OF_REPEATABLE_RUNS = 946_684_800_000;

export function instructionClock(cpu: ClockedCpu): GuestClock {
  return {
    sync() {},
    idle() {
      const ticks = cpu.ticksToDecrementer();
      if (ticks > 0) cpu.advanceTimebase(ticks);
      return 0;
    },
    timeOfDay: () => EPOCH_OF_REPEATABLE_RUNS + cpu.timebase() / TICKS_PER_MS,
  };
}
