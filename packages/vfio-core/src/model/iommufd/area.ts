/**
 * One mapped range of an I/O address space (struct iopt_area): IOVAs and the slice of user memory they stand for.
 * `mapping` is what the hardware page tables show of it, null while there are none.
 */
import type { DmaMapping } from "../type1/mapping.ts";
import type { PageSpan, UserPages } from "./pages.ts";
import type { Range } from "./ranges.ts";

/** A piece of user memory: what is mapped, or copied from an address space to another. */
export interface Slice {
  readonly pages: UserPages;
  /** First byte of the slice in `pages`. */
  readonly startByte: bigint;
  readonly length: bigint;
}

export class Area implements Range, Slice {
  readonly first: bigint;
  readonly last: bigint;
  readonly pages: UserPages;
  readonly startByte: bigint;
  /** VFIO_DMA_MAP_FLAG_READ and _WRITE. */
  readonly prot: number;
  readonly span: PageSpan;
  mapping: DmaMapping | null = null;

  constructor(first: bigint, { pages, startByte, length }: Slice, prot: number) {
    this.first = first;
    this.last = first + length - 1n;
    this.pages = pages;
    this.startByte = startByte;
    this.prot = prot;
    this.span = pages.span(startByte, length);
  }

  get length(): bigint {
    return this.last - this.first + 1n;
  }

  /** Offset of the first byte in its page. */
  get pageOffset(): bigint {
    return this.startByte % BigInt(this.pages.pageSize);
  }

  /** The part in [first, last], which lies inside. */
  slice(first: bigint, last: bigint): Slice {
    return { pages: this.pages, startByte: this.startByte + (first - this.first), length: last - first + 1n };
  }
}
