// A TCE table (iommu_table): one DMA window's entries, and beside each the user address it was made from.
// Entries lie in the kernel's TCE arena as a tree of leaves that appear when first written (arena/layout.ts, HARDWARE);
// this class is the handle. Value of an entry: host physical page | TCE_PCI_WRITE | TCE_PCI_READ; 0 is "none".
// Source: arch/powerpc/include/asm/iommu.h, platforms/powernv/pci-ioda-tce.c.
// Invariants: nothing outside [0, entries) is read or written; references count who may still use the table, and the
// last one gives the memory back, after which the handle finds no entry.
import { ENOMEM } from "@minivmm/host";
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../uapi.ts";
import {
  HARDWARE,
  HARDWARE_FORWARDED,
  HARDWARE_REFUSES,
  HARDWARE_USER_VIEW,
  HARDWARE_WRITE_IMPLIES_READ,
  HEADER,
  LEAF_ENTRIES,
  LEAF_USER,
  readNumber,
  type TceArena,
  writeNumber,
} from "./arena/index.ts";
import { pageNumber } from "./bus-address.ts";
import { EntryTree } from "./entry-tree.ts";

const PERMISSION = TCE_PCI_READ | TCE_PCI_WRITE;
const TWO_32 = 0x1_0000_0000;
/** Entries of the largest table whose levels are all made together: 64 MiB of them. */
const ALL_AT_ONCE = 2 ** 22;

export interface TceTableShape {
  /** Bus address of the first entry. */
  readonly start: bigint;
  readonly pageShift: number;
  /** Entries; the window's size in IOMMU pages. */
  readonly entries: number;
  /** Levels of the hardware table; 1 is flat. */
  readonly levels: number;
  /** What the window was charged with when it was made, and gives back when freed. Bytes. */
  readonly allocatedBytes: number;
  /** The hardware lets the device read whatever it may write. */
  readonly writeImpliesRead: boolean;
  /** Whether the user view exists from the beginning. Default true. */
  readonly userView?: boolean;
}

export class TceTable {
  readonly start: bigint;
  readonly pageShift: number;
  readonly pageSize: number;
  readonly entries: number;
  readonly levels: number;
  readonly allocatedBytes: number;
  /** Number of the first entry: bus address >> pageShift. Below 2^52. */
  readonly offset: number;
  /** Bytes charged for a user view that was made later than the table. */
  userViewBytes = 0;
  readonly #arena: TceArena;
  readonly #writeImpliesRead: boolean;
  readonly #tree: EntryTree;
  #record: number;
  #refs = 1;
  #successor: TceTable | null = null;
  #refuses: ((entry: number) => boolean) | null = null;

  /** `record` is zero memory of the arena, for a table that `create` makes. */
  private constructor(shape: TceTableShape, arena: TceArena, record: number) {
    this.start = shape.start;
    this.pageShift = shape.pageShift;
    this.pageSize = 2 ** shape.pageShift;
    this.entries = shape.entries;
    this.levels = shape.levels;
    this.allocatedBytes = shape.allocatedBytes;
    this.offset = Number(shape.start >> BigInt(shape.pageShift));
    this.#writeImpliesRead = shape.writeImpliesRead;
    this.#arena = arena;
    this.#record = record;
    const { words } = arena;
    words[record + HARDWARE.PAGE_SHIFT] = shape.pageShift;
    words[record + HARDWARE.FLAGS] =
      (shape.writeImpliesRead ? HARDWARE_WRITE_IMPLIES_READ : 0) | (shape.userView === false ? 0 : HARDWARE_USER_VIEW);
    writeNumber(words, record + HARDWARE.OFFSET, this.offset);
    writeNumber(words, record + HARDWARE.ENTRIES, this.entries);
    this.#tree = new EntryTree(arena, record, shape.entries);
  }

  /** A table without entries, or -ENOMEM. */
  static create(shape: TceTableShape, arena: TceArena): TceTable | number {
    const record = arena.allocate(HARDWARE.SIZE);
    return record === 0 ? -ENOMEM : new TceTable(shape, arena, record);
  }

  /** Where the arena has this table: a HARDWARE record. */
  get record(): number {
    return this.#record;
  }

  /** Entries in use. */
  get live(): number {
    return this.#arena.words[this.#record + HARDWARE.LIVE] as number;
  }

  /** Whether user addresses can be kept: without, nothing may be mapped by a hypercall. */
  get userView(): boolean {
    return ((this.#arena.words[this.#record + HARDWARE.FLAGS] as number) & HARDWARE_USER_VIEW) !== 0;
  }

  /** Where the view comes late, it comes with all levels of the table; a very large one gets them as they are used. */
  makeUserView(): void {
    this.#setFlag(HARDWARE_USER_VIEW, true);
    if (this.entries > ALL_AT_ONCE) return;
    for (let entry = 0; entry < this.entries; entry += LEAF_ENTRIES) if (this.#tree.make(entry) === 0) return;
  }

  /** Hardware that does not take updates of an entry: exchange answers -1. For those who try faults. */
  get refuses(): ((entry: number) => boolean) | null {
    return this.#refuses;
  }

  set refuses(refuses: ((entry: number) => boolean) | null) {
    this.#refuses = refuses;
    this.#setFlag(HARDWARE_REFUSES, refuses !== null);
  }

  /** iommu_tce_table_get. */
  get(): this {
    this.#refs++;
    return this;
  }

  /** iommu_tce_table_put. */
  put(): void {
    if (--this.#refs !== 0) return;
    this.#tree.free();
    this.#arena.free(this.#record, HARDWARE.SIZE);
    this.#record = HEADER.NOTHING;
    this.#successor?.put();
    this.#successor = null;
  }

  /** Whether somebody may still use the table. */
  get isHeld(): boolean {
    return this.#refs > 0;
  }

  /**
   * From now on this handle's hardware entries are those of `table`, where a hypervisor knows both by one number.
   * User addresses stay with the handle. Compiled code leaves such a table alone.
   */
  forwardTo(table: TceTable): void {
    for (
      let entry = this.nextLive(0, this.entries);
      entry < this.entries;
      entry = this.nextLive(entry + 1, this.entries)
    ) {
      const permission = this.permission(entry);
      if (entry < table.entries) table.exchange(entry, this.page(entry), permission);
      this.exchange(entry, 0, 0);
    }
    this.#successor = table.get();
    this.#setFlag(HARDWARE_FORWARDED, true);
  }

  /** Index of a bus address's entry, or -1 outside the window. */
  entryOf(hi: number, lo: number): number {
    const entry = pageNumber(hi, lo, this.pageShift) - this.offset;
    return entry >= 0 && entry < this.entries ? entry : -1;
  }

  /** The host physical page of an entry, without permissions; only meaningful when `permission` is not 0. */
  page(entry: number): number {
    if (this.#successor !== null) return this.#successor.page(entry);
    const leaf = this.#tree.find(entry);
    if (leaf === 0) return 0;
    const at = leaf + slotOf(entry);
    const { words } = this.#arena;
    const low = words[at] as number;
    return (words[at + 1] as number) * TWO_32 + ((low & ~PERMISSION) >>> 0);
  }

  /** TCE_PCI_READ | TCE_PCI_WRITE bits of an entry. */
  permission(entry: number): number {
    if (this.#successor !== null) return this.#successor.permission(entry);
    const leaf = this.#tree.find(entry);
    return leaf === 0 ? 0 : (this.#arena.words[leaf + slotOf(entry)] as number) & PERMISSION;
  }

  /** User address an entry was made from; 0 for none. */
  userAddress(entry: number): number {
    const leaf = this.#tree.find(entry);
    if (leaf === 0) return 0;
    return readNumber(this.#arena.words, leaf + LEAF_USER + slotOf(entry));
  }

  /** iommu_tce_xchg: stores an entry and returns the permission bits that it had; -1 when it cannot be stored. */
  exchange(entry: number, page: number, permission: number): number {
    if (this.#refuses?.(entry)) return -1;
    if (this.#successor !== null) return this.#successor.exchange(entry, page, permission);
    let leaf = this.#tree.find(entry);
    if (leaf === 0) {
      if (permission === 0) return 0;
      leaf = this.#tree.make(entry);
      if (leaf === 0) return -1;
    }
    const at = leaf + slotOf(entry);
    const { words } = this.#arena;
    const old = (words[at] as number) & PERMISSION;
    const bits = this.#writeImpliesRead && permission & TCE_PCI_WRITE ? PERMISSION : permission;
    if (bits === 0) {
      words[at] = 0;
      words[at + 1] = 0;
    } else {
      words[at] = page + bits;
      words[at + 1] = Math.floor(page / TWO_32);
    }
    if (old === 0 && bits !== 0) this.#count(1);
    else if (old !== 0 && bits === 0) this.#count(-1);
    return old;
  }

  /** False when there is no room for it. */
  setUserAddress(entry: number, address: number): boolean {
    let leaf = this.#tree.find(entry);
    if (leaf === 0) {
      if (address === 0) return true;
      leaf = this.#tree.make(entry);
      if (leaf === 0) return false;
    }
    writeNumber(this.#arena.words, leaf + LEAF_USER + slotOf(entry), address);
    return true;
  }

  /** First entry in [entry, end) that has permissions; `end` when there is none. */
  nextLive(entry: number, end: number): number {
    if (this.#successor !== null) return this.#successor.nextLive(entry, end);
    if (this.live === 0) return end;
    const { words } = this.#arena;
    for (let at = this.#tree.nextPresent(entry); at < end; at = this.#tree.nextPresent(at)) {
      const leaf = this.#tree.find(at);
      const stop = Math.min(end, (Math.floor(at / LEAF_ENTRIES) + 1) * LEAF_ENTRIES);
      for (let word = leaf + slotOf(at); at < stop; at++, word += 2) {
        if (((words[word] as number) & PERMISSION) !== 0) return at;
      }
    }
    return end;
  }

  #count(step: number): void {
    const at = this.#record + HARDWARE.LIVE;
    this.#arena.words[at] = (this.#arena.words[at] as number) + step;
  }

  #setFlag(flag: number, on: boolean): void {
    if (this.#record === HEADER.NOTHING) return;
    const at = this.#record + HARDWARE.FLAGS;
    const flags = this.#arena.words[at] as number;
    this.#arena.words[at] = on ? flags | flag : flags & ~flag;
  }
}

function slotOf(entry: number): number {
  // A number modulo 2^32 keeps these bits, however large it is.
  return (entry & (LEAF_ENTRIES - 1)) << 1;
}
