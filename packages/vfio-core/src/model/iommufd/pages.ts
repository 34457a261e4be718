/**
 * User memory behind mappings (struct iopt_pages): pinned while some hardware page table shows it, once for all.
 *
 * Copies of a mapping share the object, so a page that two address spaces map is pinned and charged once; it is let go
 * when the last one that shows it goes. Memory that nothing shows is only a promise: whether it exists is found out when
 * a page table needs it. All missing pages are looked up before any is charged: EFAULT comes before ENOMEM.
 * Device memory cannot be pinned. Source: drivers/iommu/iommufd/pages.c.
 */
import { EFAULT } from "@minivmm/host";
import type { AddressSpace, ModelProcess, PhysicalMemory } from "@minivmm/host/model";
import { IOVA_PAGE_SIZE } from "../type1/hardware.ts";
import type { PinnedRun } from "../type1/mapping.ts";
import type { Charge } from "./accounting.ts";

/** Host pages of one object, by index, both ends included. Identity counts: what is pinned is unpinned with it. */
export interface PageSpan {
  readonly first: number;
  readonly last: number;
}

/** Pinned pages that are contiguous in host physical memory. */
interface Piece {
  readonly first: number;
  readonly last: number;
  readonly physical: number;
  readonly buffer: ArrayBufferLike;
}

export interface UserPagesOptions {
  /** Whose memory it is. */
  readonly process: ModelProcess;
  /** User address of the first byte. */
  readonly address: bigint;
  readonly writable: boolean;
  readonly charge: Charge;
  readonly physical: PhysicalMemory;
}

export class UserPages {
  readonly writable: boolean;
  /** User address of the first page. */
  readonly address: bigint;
  readonly pageSize: number;
  readonly #process: ModelProcess;
  readonly #charge: Charge;
  readonly #physical: PhysicalMemory;
  readonly #spans = new Set<PageSpan>();
  #pieces: Piece[] = [];

  constructor({ process, address, writable, charge, physical }: UserPagesOptions) {
    this.pageSize = process.pageSize;
    this.address = address - (address % BigInt(this.pageSize));
    this.writable = writable;
    this.#process = process;
    this.#charge = charge;
    this.#physical = physical;
  }

  get mm(): AddressSpace {
    return this.#process.mm;
  }

  /** Pages of the host that hold `length` bytes from `startByte` on. */
  span(startByte: bigint, length: bigint): PageSpan {
    const page = BigInt(this.pageSize);
    return { first: Number(startByte / page), last: Number((startByte + length - 1n) / page) };
  }

  /** 0, -EFAULT or -ENOMEM; then nothing has changed. */
  pin(span: PageSpan): number {
    const fresh: Piece[] = [];
    for (const hole of uncovered(this.#spans, span)) {
      if (!this.#look(hole, fresh)) return -EFAULT;
    }
    const count = pagesIn(fresh);
    const result = count > 0 ? this.#charge(count) : 0;
    if (result < 0) return result;
    for (const { buffer } of fresh) this.#physical.adopt(buffer);
    this.#process.mm.pinnedPages += count;
    this.#pieces = [...this.#pieces, ...fresh].sort((a, b) => a.first - b.first);
    this.#spans.add(span);
    return 0;
  }

  unpin(span: PageSpan): void {
    if (!this.#spans.delete(span)) return;
    let count = 0;
    for (const hole of uncovered(this.#spans, span)) count += this.#drop(hole);
    if (count === 0) return;
    this.#charge(-count);
    this.#process.mm.pinnedPages -= count;
  }

  /** Pinned spans may be replaced by others that cover the same pages. */
  replace(span: PageSpan, parts: readonly PageSpan[]): void {
    if (!this.#spans.delete(span)) return;
    for (const part of parts) this.#spans.add(part);
  }

  /** Host physical memory behind `length` pinned bytes from `startByte` on, shown at IOVA page `at`. */
  runs(startByte: bigint, length: bigint, at: number, prot: number): PinnedRun[] {
    const { pageSize } = this;
    const runs: PinnedRun[] = [];
    const from = Number(startByte);
    const end = from + Number(length);
    for (const { first, last, physical, buffer } of this.#pieces) {
      const low = Math.max(first * pageSize, from);
      const high = Math.min((last + 1) * pageSize, end);
      if (low >= high) continue;
      const start = at + (low - from) / IOVA_PAGE_SIZE;
      runs.push({
        start,
        end: start + (high - low) / IOVA_PAGE_SIZE,
        prot,
        physical: physical + (low - first * pageSize),
        repeats: false,
        buffer,
      });
    }
    return runs;
  }

  /** Finds the memory of a hole; false where there is none that can be pinned. */
  #look(hole: PageSpan, into: Piece[]): boolean {
    const { mm } = this.#process;
    for (let page = hole.first; page <= hole.last; ) {
      const vaddr = Number(this.address) + page * this.pageSize;
      const physical = mm.virtToPhys(vaddr, this.writable);
      const area = mm.areaAt(vaddr);
      if (physical < 0 || !area?.backing.buffer) return false;
      const last = Math.min(page + Math.floor((area.end - vaddr) / this.pageSize) - 1, hole.last);
      into.push({ first: page, last, physical, buffer: area.backing.buffer });
      page = last + 1;
    }
    return true;
  }

  /** Lets the pages of a hole go: their number. */
  #drop(hole: PageSpan): number {
    const kept: Piece[] = [];
    let count = 0;
    for (const piece of this.#pieces) {
      const first = Math.max(piece.first, hole.first);
      const last = Math.min(piece.last, hole.last);
      if (first > last) {
        kept.push(piece);
        continue;
      }
      count += last - first + 1;
      const parts = [
        { ...piece, last: first - 1 },
        { ...piece, first: last + 1, physical: piece.physical + (last + 1 - piece.first) * this.pageSize },
      ].filter((part) => part.first <= part.last);
      kept.push(...parts);
      for (const { buffer } of parts) this.#physical.adopt(buffer);
      this.#physical.release(piece.buffer);
    }
    this.#pieces = kept;
    return count;
  }
}

function pagesIn(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { first, last }) => sum + (last - first + 1), 0);
}

/** What none of `spans` covers of `span`, ascending. */
function uncovered(spans: ReadonlySet<PageSpan>, span: PageSpan): PageSpan[] {
  let holes: PageSpan[] = [span];
  for (const { first, last } of spans) {
    if (holes.length === 0) break;
    if (last < span.first || first > span.last) continue;
    holes = holes.flatMap((hole) =>
      last < hole.first || first > hole.last
        ? [hole]
        : [
            { first: hole.first, last: first - 1 },
            { first: last + 1, last: hole.last },
          ].filter((part) => part.first <= part.last),
    );
  }
  return holes;
}
