// Timers of a thread that is in the guest most of the time: its event loop does not turn there, so somebody else wakes it
// when one is due, and it looks then. Waking may come early; the rest is asked for again.
// Invariant: while a timer is outstanding, a wake-up for it is too.
import type { PlatformClock } from "./platform.ts";

interface Timer {
  readonly due: number;
  /** In the order in which they were set. */
  readonly number: number;
  readonly run: () => void;
}

export class ThreadTimers implements PlatformClock {
  private readonly timers: Timer[] = [];
  private nextNumber = 0;
  private readonly wakeAfter: (ms: number) => void;

  /** `wakeAfter` gets this thread out of the guest after so many milliseconds; the earliest of several requests counts. */
  constructor(wakeAfter: (ms: number) => void) {
    this.wakeAfter = wakeAfter;
  }

  now(): number {
    return performance.now();
  }

  after(ms: number, run: () => void): { cancel(): void } {
    const timer = { due: this.now() + Math.max(ms, 0), number: this.nextNumber++, run };
    this.timers.push(timer);
    this.wakeAfter(ms);
    return {
      cancel: () => {
        const index = this.timers.indexOf(timer);
        if (index >= 0) this.timers.splice(index, 1);
      },
    };
  }

  /**
   * Runs what is due, earliest first, and asks to be woken for what is not; a look that nobody woke the thread for need not
   * ask, because the wake-up is still to come. What is set meanwhile waits for the next look:
   * one that takes longer than its period must leave time for the guest.
   */
  look(woken = true): void {
    const now = this.now();
    const end = this.nextNumber;
    while (this.timers.length > 0) {
      const next = this.timers.reduce((first, timer) => (timer.due < first.due ? timer : first));
      if (next.due > now || next.number >= end) {
        if (woken) this.wakeAfter(Math.max(next.due - this.now(), 0));
        return;
      }
      this.timers.splice(this.timers.indexOf(next), 1);
      next.run();
    }
  }
}
