// Stores that the CPU has combined, on their way to a BAR: a line of 64 bytes and a mask of those that were stored. Each run of
// stored bytes is one transaction, because that is what a memory write on PCI Express can carry: any length from any byte.
// A run that a single access could have made is one, and a function that takes no bursts gets them cut into such accesses.
// Source: PCI Express Base 4.0 section 2.2.5 (byte enables).
// Invariant: bytes that were not stored are not written; runs go in ascending order; nothing is allocated.

export const BURST_BYTES = 64;

/** Bit n of the mask, whose halves are `lo` and `hi`, is byte n. */
const stored = (lo: number, hi: number, n: number): boolean => (((n < 32 ? lo : hi) >>> (n & 31)) & 1) !== 0;

/** Widest naturally aligned access at an offset within `length` bytes. */
export function accessWidth(offset: number, length: number): 1 | 2 | 4 | 8 {
  if (length >= 8 && offset % 8 === 0) return 8;
  if (length >= 4 && offset % 4 === 0) return 4;
  return length >= 2 && offset % 2 === 0 ? 2 : 1;
}

export class BurstSplitter {
  private readonly run = new Uint8Array(BURST_BYTES);
  /** By length: the start of `run`. */
  private readonly lengths = Array.from({ length: BURST_BYTES + 1 }, (_, length) => this.run.subarray(0, length));
  private readonly write: (address: number, bytes: Uint8Array) => void;

  /** `write` is given each run; the bytes are its own until it returns. */
  constructor(write: (address: number, bytes: Uint8Array) => void) {
    this.write = write;
  }

  /** A line at a multiple of 64. */
  split(address: number, lo: number, hi: number, bytes: Uint8Array): void {
    if ((lo & hi) === -1) {
      this.write(address, bytes);
      return;
    }
    for (let at = 0; at < BURST_BYTES; at++) {
      if (!stored(lo, hi, at)) continue;
      let length = 0;
      while (at + length < BURST_BYTES && stored(lo, hi, at + length)) {
        this.run[length] = bytes[at + length]!;
        length++;
      }
      this.write(address + at, this.lengths[length]!);
      at += length;
    }
  }
}

/** Whom the accesses go to that a run is cut into. */
export interface BarTarget {
  writeBar(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void;
}

/** Writes a run with naturally aligned accesses of up to 8 bytes. */
export function writeInAccesses(target: BarTarget, index: number, offset: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const width = accessWidth(offset + done, bytes.length - done);
    let lo = 0;
    let hi = 0;
    for (let i = Math.min(width, 4) - 1; i >= 0; i--) lo = ((lo << 8) | bytes[done + i]!) >>> 0;
    if (width === 8) for (let i = 7; i >= 4; i--) hi = ((hi << 8) | bytes[done + i]!) >>> 0;
    target.writeBar(index, offset + done, width, lo, hi);
    done += width;
  }
}
