/**
 * The IOVAs of an I/O address space: what is mapped, what is reserved (by whom), what the user allows the kernel to
 * choose, and the alignment that hardware asks for.
 *
 * Reserved ranges of several owners may overlap. Allowed ranges matter only when the kernel chooses; none means all but
 * the first and the last page. Without hardware every byte can be mapped. Source: drivers/iommu/iommufd/io_pagetable.c.
 */
import { EADDRINUSE, EEXIST, EINVAL, ENOSPC, EOVERFLOW } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import type { Area, Slice } from "./area.ts";
import { gaps, interleaved, merged, type Range, RangeSet, smaller, U64_MAX } from "./ranges.ts";

/** The kernel keeps the place of a buffer in a transparent huge page. */
const HUGE_PAGE = 0x20_0000n;

interface Reserved extends Range {
  readonly owner: object;
}

export class IovaSpace {
  readonly areas = new RangeSet<Area>();
  /** Bytes; a power of two. */
  alignment = 1n;
  readonly #page: bigint;
  #reserved: Reserved[] = [];
  #allowed = new RangeSet<Range>();

  constructor(pageSize: number) {
    this.#page = BigInt(pageSize);
  }

  /** What no owner reserved, ascending. */
  usable(): Range[] {
    return [...gaps(this.#reserved, 0n, U64_MAX)];
  }

  /** May [iova, iova + length) be mapped? Throws KernelError EINVAL, EOVERFLOW, EEXIST. */
  check(iova: bigint, length: bigint): void {
    const last = iova + length - 1n;
    if (iova % this.alignment !== 0n) throw new KernelError(EINVAL, "the IOVA is not aligned");
    if (last > U64_MAX) throw new KernelError(EOVERFLOW);
    if (this.#isReserved(iova, last)) throw new KernelError(EINVAL, "the range is reserved");
    if (this.areas.overlap(iova, last)) throw new KernelError(EEXIST);
  }

  /** The lowest free place for a slice, never 0. Throws KernelError EOVERFLOW, EINVAL, ENOSPC. */
  choose({ pages, startByte }: Slice, length: bigint): bigint {
    if (length === 0n || length >= U64_MAX / 2n) throw new KernelError(EOVERFLOW);
    const address = pages.address + startByte;
    const offset = address % this.#page;
    const natural = address === 0n ? HUGE_PAGE : address & -address;
    const alignment = smaller(smaller(roundUpToPower(length), natural), HUGE_PAGE);
    if (alignment < this.alignment) throw new KernelError(EINVAL, "the memory is not aligned");
    const [low, high] = [this.#page, U64_MAX - this.#page];
    const allowed = this.#allowed.size > 0 ? merged(this.#allowed.all(), low, high) : [{ first: low, last: high }];
    for (const range of allowed) {
      const from = place(range, length, alignment, offset);
      if (from === null) continue;
      const taken = interleaved(this.#reserved, this.areas.overlapping(from, range.last));
      for (const hole of gaps(taken, from, range.last)) {
        const found = place(hole, length, alignment, offset);
        if (found !== null) return found;
      }
    }
    throw new KernelError(ENOSPC);
  }

  /** Throws KernelError EADDRINUSE: something is mapped or allowed there. */
  reserve(first: bigint, last: bigint, owner: object): void {
    if (this.areas.overlap(first, last) || this.#allowed.overlap(first, last)) throw new KernelError(EADDRINUSE);
    const at = this.#reserved.findIndex((each) => each.first > first);
    this.#reserved.splice(at < 0 ? this.#reserved.length : at, 0, { first, last, owner });
  }

  unreserve(owner: object): void {
    this.#reserved = this.#reserved.filter((each) => each.owner !== owner);
  }

  /** Throws KernelError EADDRINUSE: one of the ranges is reserved; then nothing changes. */
  allow(ranges: RangeSet<Range>): void {
    for (const { first, last } of ranges.all()) if (this.#isReserved(first, last)) throw new KernelError(EADDRINUSE);
    this.#allowed = ranges;
  }

  /** Do all areas fit an alignment? Throws KernelError EADDRINUSE. */
  checkAlignment(alignment: bigint): void {
    const fits = this.areas.all().every((area) => (area.first | area.length | area.pageOffset) % alignment === 0n);
    if (!fits) throw new KernelError(EADDRINUSE, `a mapping is not aligned to ${alignment} bytes`);
  }

  #isReserved(first: bigint, last: bigint): boolean {
    return this.#reserved.some((each) => each.first <= last && each.last >= first);
  }
}

/** The first place in a range, or null. */
function place({ first, last }: Range, length: bigint, alignment: bigint, offset: bigint): bigint | null {
  const up = first + alignment - 1n;
  if (up > U64_MAX) return null;
  const at = (up - (up % alignment)) | offset;
  return at >= last || last - at < length - 1n ? null : at;
}

function roundUpToPower(value: bigint): bigint {
  return 1n << BigInt((value - 1n).toString(2).length - (value === 1n ? 1 : 0));
}
