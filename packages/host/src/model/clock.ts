// Time of a modelled kernel. Models ask this clock and never the runtime, so tests can move time by hand.

export interface Clock {
  /** Milliseconds; only differences mean something. */
  now(): number;
  /** Calls `fn` once, `ms` from now. */
  after(ms: number, fn: () => void): { cancel(): void };
}

/** Wall time. Timers do not keep the Node process alive. */
export const realClock: Clock = {
  now: () => performance.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** A clock that stands still until `advance` is called; timers run in due order, equal times in order of creation. */
export class ManualClock implements Clock {
  #now = 0;
  #timers: { due: number; fn: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): { cancel(): void } {
    const timer = { due: this.#now + Math.max(0, ms), fn };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((t) => t !== timer);
      },
    };
  }

  /** Moves time and runs what falls due on the way, also timers set by those callbacks. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: { due: number; fn: () => void } | undefined;
      for (const t of this.#timers) if (t.due <= end && (!next || t.due < next.due)) next = t;
      if (!next) break;
      const due = next;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#now = due.due;
      due.fn();
    }
    this.#now = end;
  }
}
