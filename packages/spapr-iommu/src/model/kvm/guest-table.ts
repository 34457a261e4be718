// A guest's view of one TCE table in KVM (kvmppc_spapr_tce_table): entries exactly as the guest wrote them, and the
// hardware tables that follow it. Source: arch/powerpc/kvm/book3s_64_vio.c.
// Entries lie in pages of the arena that appear when something other than 0 is stored (arena/layout.ts, GUEST).
// Invariants: an index handed to put and get is below `entries`; every link holds a reference on its hardware table.
import { ENOMEM } from "@minivmm/host";
import { GUEST, LINK, type TceArena, writeNumber } from "../arena/index.ts";
import { shiftRight } from "../bus-address.ts";
import type { TceTable } from "../table.ts";

/** Entries of the largest table whose pages are all made together: 32 MiB of them. */
const ALL_AT_ONCE = 2 ** 22;

export interface GuestTableShape {
  readonly liobn: bigint;
  readonly pageShift: number;
  /** First entry and number of entries, in TCE pages. */
  readonly offset: bigint;
  readonly entries: number;
}

/** One attached hardware table [kvmppc_spapr_tce_iommu_table]. */
export interface TableLink {
  readonly table: TceTable;
  /** Hardware entries for one of the guest's. */
  readonly fan: number;
  /** Attachments: one for each group and call. */
  refs: number;
  /** LINK record in the arena. */
  readonly record: number;
}

export class GuestTable {
  readonly shape: GuestTableShape;
  readonly liobnHi: number;
  readonly liobnLo: number;
  readonly pageShift: number;
  /** First entry. Above 2^53 inexact, and then no bus address reaches the table. */
  readonly offset: number;
  readonly entries: number;
  readonly pageCount: number;
  /** GUEST record in the arena. */
  readonly record: number;
  /** Newest first. */
  readonly links: TableLink[] = [];
  readonly #arena: TceArena;
  /** Entries of a page. */
  readonly #perPage: number;
  readonly #pageShift: number;
  readonly #pages: number;

  /** `record` and `pages` are zero memory of the arena. */
  private constructor(shape: GuestTableShape, arena: TceArena, pageSize: number, record: number, pages: number) {
    this.shape = shape;
    this.liobnHi = Number(shape.liobn >> 32n);
    this.liobnLo = Number(shape.liobn & 0xffff_ffffn);
    this.pageShift = shape.pageShift;
    this.offset = Number(shape.offset);
    this.entries = shape.entries;
    this.#arena = arena;
    this.#perPage = pageSize / 8;
    this.#pageShift = Math.log2(this.#perPage);
    this.pageCount = pagesOf(shape.entries, pageSize);
    this.record = record;
    this.#pages = pages;
    const { words } = arena;
    words[record + GUEST.PAGE_SHIFT] = shape.pageShift;
    words[record + GUEST.LIOBN] = this.liobnLo;
    words[record + GUEST.LIOBN + 1] = this.liobnHi;
    words[record + GUEST.OFFSET] = Number(shape.offset & 0xffff_ffffn);
    words[record + GUEST.OFFSET + 1] = Number(shape.offset >> 32n);
    writeNumber(words, record + GUEST.ENTRIES, shape.entries);
    words[record + GUEST.PAGES] = pages;
    words[record + GUEST.PAGE_COUNT] = this.pageCount;
  }

  /** A table of zeros, or null when the arena has no room. `atOnce`: with all its pages, unless it is very large. */
  static create(shape: GuestTableShape, arena: TceArena, pageSize: number, atOnce: boolean): GuestTable | null {
    const record = arena.allocate(GUEST.SIZE);
    const pages = record === 0 ? 0 : arena.allocate(pagesOf(shape.entries, pageSize));
    if (pages === 0) {
      arena.free(record, GUEST.SIZE);
      return null;
    }
    const table = new GuestTable(shape, arena, pageSize, record, pages);
    if (!atOnce || shape.entries > ALL_AT_ONCE || table.#makePages()) return table;
    table.release();
    return null;
  }

  lowOf(index: number): number {
    const at = this.#at(index, false);
    return at === 0 ? 0 : (this.#arena.words[at] as number);
  }

  highOf(index: number): number {
    const at = this.#at(index, false);
    return at === 0 ? 0 : (this.#arena.words[at + 1] as number);
  }

  /** kvmppc_tce_put. A page that cannot be had loses the value, as in the kernel. */
  put(index: number, hi: number, lo: number): void {
    const at = this.#at(index, (hi | lo) !== 0);
    if (at === 0) return;
    this.#arena.words[at] = lo;
    this.#arena.words[at + 1] = hi;
  }

  /** `put` of one value into `count` entries. */
  fill(index: number, count: number, hi: number, lo: number): void {
    const end = index + count;
    for (let next = index; next < end; ) {
      const stop = Math.min(end, (Math.floor(next / this.#perPage) + 1) * this.#perPage);
      const at = this.#at(next, (hi | lo) !== 0);
      if (at !== 0) {
        const { words } = this.#arena;
        const last = at + (stop - next) * 2;
        if ((hi | lo) === 0) words.fill(0, at, last);
        else {
          for (let word = at; word < last; word += 2) {
            words[word] = lo;
            words[word + 1] = hi;
          }
        }
      }
      next = stop;
    }
  }

  /** The word behind byte `offset` of the entries as user space maps them: its index in the arena, or 0. */
  wordAt(offset: number, make: boolean): number {
    const at = this.#at(Math.floor(offset / 8), make);
    return at === 0 ? 0 : at + (Math.floor(offset / 4) % 2);
  }

  /** A reference more on a link, or a new link with one: 0 or -ENOMEM. */
  attach(table: TceTable): number {
    const known = this.links.find((link) => link.table === table);
    if (known) {
      known.refs++;
      return 0;
    }
    const record = this.#arena.allocate(LINK.SIZE);
    if (record === 0) return -ENOMEM;
    this.#arena.words[record + LINK.HARDWARE] = table.record;
    this.links.unshift({ table: table.get(), fan: 2 ** (this.pageShift - table.pageShift), refs: 1, record });
    this.#chain();
    return 0;
  }

  /** A reference less; the last one takes the link away. */
  detach(link: TableLink): void {
    if (--link.refs > 0) return;
    this.links.splice(this.links.indexOf(link), 1);
    this.#chain();
    this.#free(link);
  }

  /** Gives everything back to the arena. */
  release(): void {
    for (const link of this.links.splice(0)) this.#free(link);
    const arena = this.#arena;
    for (let page = 0; page < this.pageCount; page++) {
      arena.free(arena.words[this.#pages + page] as number, this.#perPage * 2);
    }
    arena.free(this.#pages, this.pageCount);
    arena.free(this.record, GUEST.SIZE);
  }

  /** False when there is no room for all. */
  #makePages(): boolean {
    for (let index = 0; index < this.entries; index += this.#perPage) if (this.#at(index, true) === 0) return false;
    return true;
  }

  #free(link: TableLink): void {
    link.table.put();
    this.#arena.free(link.record, LINK.SIZE);
  }

  /** Writes the list's order into the arena. */
  #chain(): void {
    const { words } = this.#arena;
    let at = this.record + GUEST.LINKS;
    for (const { record } of this.links) {
      words[at] = record;
      at = record + LINK.NEXT;
    }
    words[at] = 0;
  }

  /** Where an entry is; 0 when its page is missing and not to be made, or cannot be. */
  #at(index: number, make: boolean): number {
    const arena = this.#arena;
    const slot = this.#pages + shiftRight(index, this.#pageShift);
    let page = arena.words[slot] as number;
    if (page === 0) {
      if (!make) return 0;
      page = arena.allocate(this.#perPage * 2);
      if (page === 0) return 0;
      arena.words[slot] = page;
    }
    return page + (index & (this.#perPage - 1)) * 2;
  }
}

/** kvmppc_tce_pages: host pages that hold `entries`. */
export function pagesOf(entries: number, pageSize: number): number {
  return Math.ceil((entries * 8) / pageSize);
}
