// What a function's BARs are written with, counted by BAR: single writes, and bursts, which are several stores of the CPU in
// one transaction.

export interface BarWrites {
  readonly bar: number;
  /** Transactions of 1, 2, 4 or 8 bytes, naturally aligned. */
  readonly writes: number;
  /** Transactions of any other length, up to 64 bytes. */
  readonly bursts: number;
  readonly bytes: number;
}

const BARS = 6;
const WRITES = 0;
const BURSTS = 1;
const BYTES = 2;
const COLUMNS = 3;

export class BarWriteCounters {
  private readonly counts = new Float64Array(BARS * COLUMNS);

  write(bar: number, bytes: number): void {
    this.counts[bar * COLUMNS + WRITES]! += 1;
    this.counts[bar * COLUMNS + BYTES]! += bytes;
  }

  burst(bar: number, bytes: number): void {
    this.counts[bar * COLUMNS + BURSTS]! += 1;
    this.counts[bar * COLUMNS + BYTES]! += bytes;
  }

  /** Of BARs that were written at all. */
  list(): readonly BarWrites[] {
    return Array.from({ length: BARS }, (_, bar) => ({
      bar,
      writes: this.counts[bar * COLUMNS + WRITES]!,
      bursts: this.counts[bar * COLUMNS + BURSTS]!,
      bytes: this.counts[bar * COLUMNS + BYTES]!,
    })).filter(({ bytes }) => bytes > 0);
  }
}
