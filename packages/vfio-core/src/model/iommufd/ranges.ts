/**
 * Ranges of bytes of a 64-bit space, both ends included, as the kernel's interval trees hold them: the last byte of the
 * space can then be part of a range without an overflow.
 */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** Math.max for 64-bit numbers. */
export function larger(a: bigint, b: bigint): bigint {
  if (a < b) return b;
  return a;
}

/** Math.min for 64-bit numbers. */
export function smaller(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

/** Ranges in ascending order that do not overlap. */
export class RangeSet<T extends Range> {
  readonly #list: T[] = [];

  get size(): number {
    return this.#list.length;
  }

  /** The lowest one that overlaps [first, last]. */
  overlap(first: bigint, last: bigint): T | undefined {
    const found = this.#list[this.#from(first)];
    return found && found.first <= last ? found : undefined;
  }

  /** All that overlap [first, last], ascending; the set must not change meanwhile. */
  *overlapping(first: bigint, last: bigint): Generator<T> {
    for (let i = this.#from(first); i < this.#list.length; i++) {
      const range = this.#list[i] as T;
      if (range.first > last) return;
      yield range;
    }
  }

  all(): readonly T[] {
    return this.#list;
  }

  /** What `range` covers must be free. */
  add(range: T): void {
    this.#list.splice(this.#from(range.first), 0, range);
  }

  remove(range: T): void {
    this.#list.splice(this.#from(range.first), 1);
  }

  /** Index of the first range that ends at `at` or behind. */
  #from(at: bigint): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#list[middle] as T).last >= at) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** What ranges in ascending order, which may overlap, leave free of [first, last]. */
export function* gaps(ranges: Iterable<Range>, first: bigint, last: bigint): Generator<Range> {
  let from = first;
  for (const range of ranges) {
    if (range.first > last) break;
    if (range.first > from) yield { first: from, last: range.first - 1n };
    if (range.last >= last) return;
    if (range.last >= from) from = range.last + 1n;
  }
  yield { first: from, last };
}

/** Neighbours become one; each range is cut to [first, last]. */
export function* merged(ranges: Iterable<Range>, first: bigint, last: bigint): Generator<Range> {
  let open: { first: bigint; last: bigint } | null = null;
  for (const range of ranges) {
    const cut = { first: larger(range.first, first), last: smaller(range.last, last) };
    if (cut.first > cut.last) continue;
    if (open && cut.first <= open.last + 1n) {
      open.last = larger(open.last, cut.last);
      continue;
    }
    if (open) yield open;
    open = cut;
  }
  if (open) yield open;
}

/** Both in ascending order of their first bytes, together in that order. */
export function* interleaved(a: Iterable<Range>, b: Iterable<Range>): Generator<Range> {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.iterator]();
  let x = left.next();
  let y = right.next();
  while (!x.done || !y.done) {
    if (y.done || (!x.done && x.value.first <= y.value.first)) {
      if (!x.done) yield x.value;
      x = left.next();
    } else {
      yield y.value;
      y = right.next();
    }
  }
}
