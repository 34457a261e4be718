// A stopwatch for benchmarks whose guest marks where something begins and ends, by a store that means nothing to the device
// otherwise. What this process spent between two marks, beside what the device counted; and what some rounds of that come to.
import { median } from "./median.ts";

/** Since some start: what the device counts, and milliseconds of the wall clock and of processor time. */
export interface CountedMark {
  readonly transactions: number;
  readonly wall: number;
  readonly processor: number;
}

export class Stopwatch {
  private readonly marks: CountedMark[] = [];

  mark(transactions: number): void {
    const { user, system } = process.cpuUsage();
    this.marks.push({ transactions, wall: performance.now(), processor: (user + system) / 1000 });
  }

  /** From one mark to the next. */
  between(mark: number): CountedMark {
    const [from, to] = [this.marks[mark] as CountedMark, this.marks[mark + 1] as CountedMark];
    return {
      transactions: to.transactions - from.transactions,
      wall: to.wall - from.wall,
      processor: to.processor - from.processor,
    };
  }
}

export function medianOf(rounds: readonly CountedMark[], what: keyof CountedMark): number {
  return median(rounds.map((each) => each[what]));
}

/** Of the ratios within rounds, so that whatever slows a round down slows both sides of it. */
export function medianRatio(
  over: readonly CountedMark[],
  under: readonly CountedMark[],
  what: keyof CountedMark,
): number {
  return median(over.map((each, round) => each[what] / (under[round]?.[what] ?? Number.NaN)));
}
