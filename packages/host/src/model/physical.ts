// Host physical memory of the modelled machine: ranges of physical addresses, each backed by a JavaScript buffer.
// Device DMA ends here after the IOMMU has translated it. Addresses are numbers below 2^52.
// Invariants: one buffer has one contiguous range; ranges do not overlap; a range starts at a multiple of its size
// class, so pages of every IOMMU page size that fit are aligned. A range lives as long as some process holds its
// buffer: pages that a driver pinned stay reachable after munmap, until the process exits.

const FIRST_ADDRESS = 0x1_0000_0000;
const ALIGNMENTS = [0x4000_0000, 0x0100_0000, 0x0020_0000, 0x0001_0000];
const SMALL_COPY = 64;

interface Range {
  readonly start: number;
  readonly end: number;
  readonly buffer: ArrayBufferLike;
  readonly bytes: Uint8Array;
  refs: number;
}

export class PhysicalMemory {
  #ranges: Range[] = [];
  readonly #byBuffer = new Map<ArrayBufferLike, Range>();
  #next = FIRST_ADDRESS;
  #last: Range | null = null;

  /**
   * The physical address of a buffer's first byte. Every call takes a reference that `release` gives back.
   * A growable buffer gets room for its maximum length.
   */
  adopt(buffer: ArrayBufferLike): number {
    const known = this.#byBuffer.get(buffer);
    if (known) {
      known.refs++;
      return known.start;
    }
    const size = Math.max(capacityOf(buffer), 1);
    const align = ALIGNMENTS.find((a) => size >= a) ?? 0x0001_0000;
    const start = Math.ceil(this.#next / align) * align;
    const end = start + Math.ceil(size / 0x0001_0000) * 0x0001_0000;
    const range: Range = { start, end, buffer, bytes: new Uint8Array(buffer), refs: 1 };
    this.#next = end;
    this.#ranges.push(range);
    this.#byBuffer.set(buffer, range);
    return start;
  }

  /** Gives back one reference; the last one takes the range away. */
  release(buffer: ArrayBufferLike): void {
    const range = this.#byBuffer.get(buffer);
    if (!range || --range.refs > 0) return;
    this.#byBuffer.delete(buffer);
    this.#ranges = this.#ranges.filter((r) => r !== range);
    if (this.#last === range) this.#last = null;
  }

  /** The bytes at [hpa, hpa + length), not a copy; null when that is not memory of one range. */
  resolve(hpa: number, length: number): Uint8Array | null {
    const range = this.#find(hpa, length);
    if (!range) return null;
    const at = hpa - range.start;
    return range.bytes.subarray(at, at + length);
  }

  /** Copies memory at `hpa` to `into`; false, with nothing copied, where there is no memory. */
  read(hpa: number, into: Uint8Array): boolean {
    const range = this.#find(hpa, into.length);
    if (!range) return false;
    const at = hpa - range.start;
    if (into.length > SMALL_COPY) into.set(range.bytes.subarray(at, at + into.length));
    else for (let i = 0; i < into.length; i++) into[i] = range.bytes[at + i] as number;
    return true;
  }

  /** Copies `from` to memory at `hpa`; false, with nothing copied, where there is no memory. */
  write(hpa: number, from: Uint8Array): boolean {
    const range = this.#find(hpa, from.length);
    if (!range) return false;
    const at = hpa - range.start;
    if (from.length > SMALL_COPY) range.bytes.set(from, at);
    else for (let i = 0; i < from.length; i++) range.bytes[at + i] = from[i] as number;
    return true;
  }

  #find(hpa: number, length: number): Range | null {
    let range = this.#last;
    if (!range || hpa < range.start || hpa >= range.end) {
      range = this.#search(hpa);
      if (!range) return null;
      this.#last = range;
    }
    return length >= 0 && hpa - range.start + length <= range.bytes.length ? range : null;
  }

  /** Ranges are created at ascending addresses, so the list is sorted. */
  #search(hpa: number): Range | null {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle] as Range;
      if (hpa < range.start) high = middle - 1;
      else if (hpa >= range.end) low = middle + 1;
      else return range;
    }
    return null;
  }
}

/** Bytes a buffer can grow to; its length when it cannot grow. */
export function capacityOf(buffer: ArrayBufferLike): number {
  return (buffer as { maxByteLength?: number }).maxByteLength ?? buffer.byteLength;
}
