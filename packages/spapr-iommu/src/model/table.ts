// A TCE table (iommu_table): one DMA window's entries, and beside each the user address it was made from.
// Entries are pairs of 32-bit words [low, high] in Uint32Arrays, in blocks that appear when first written: a one-level
// table up to 16 MiB is a single block, so it can live in memory that is shared with a CPU engine (`allocate`).
// Value: host physical page | TCE_PCI_WRITE | TCE_PCI_READ; 0 is "none". Host byte order; only tables that a guest
// can map are big endian. Source: arch/powerpc/include/asm/iommu.h, platforms/powernv/pci-ioda-tce.c.
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../uapi.ts";

const PERMISSION = TCE_PCI_READ | TCE_PCI_WRITE;
const TWO_32 = 0x1_0000_0000;

export type AllocateWords = (words: number) => Uint32Array;

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
}

interface Block {
  readonly words: Uint32Array;
  readonly user: Uint32Array;
}

/** Entries of a block: a whole flat table of 16 MiB, or one level's worth of a larger one. */
const LARGEST_FLAT = 0x20_0000;
const BLOCK = 0x2000;

export class TceTable {
  readonly start: bigint;
  readonly pageShift: number;
  readonly pageSize: number;
  readonly entries: number;
  readonly levels: number;
  readonly allocatedBytes: number;
  /** Number of the first entry: bus address >> pageShift. Below 2^52. */
  readonly offset: number;
  readonly blockEntries: number;
  /** Bytes charged for a user view that was made later than the table. */
  userViewBytes = 0;
  /** Entries in use. */
  live = 0;
  readonly #writeImpliesRead: boolean;
  readonly #allocate: AllocateWords;
  readonly #blocks = new Map<number, Block>();
  #block: Block | null = null;
  #blockIndex = -1;

  constructor(shape: TceTableShape, allocate: AllocateWords = (words) => new Uint32Array(words)) {
    this.start = shape.start;
    this.pageShift = shape.pageShift;
    this.pageSize = 2 ** shape.pageShift;
    this.entries = shape.entries;
    this.levels = shape.levels;
    this.allocatedBytes = shape.allocatedBytes;
    this.offset = Number(shape.start >> BigInt(shape.pageShift));
    this.blockEntries = shape.levels <= 1 && shape.entries <= LARGEST_FLAT ? shape.entries : BLOCK;
    this.#writeImpliesRead = shape.writeImpliesRead;
    this.#allocate = allocate;
  }

  /** Index of a bus address's entry, or -1 outside the window. */
  entryOf(hi: number, lo: number): number {
    const entry = pageNumber(hi, lo, this.pageShift) - this.offset;
    return entry >= 0 && entry < this.entries ? entry : -1;
  }

  /** The host physical page of an entry, without permissions; only meaningful when `permission` is not 0. */
  page(entry: number): number {
    const block = this.#find(entry);
    if (block === null) return 0;
    const at = this.#at(entry);
    const low = block.words[at] as number;
    return (block.words[at + 1] as number) * TWO_32 + (low - (low & PERMISSION));
  }

  /** TCE_PCI_READ | TCE_PCI_WRITE bits of an entry. */
  permission(entry: number): number {
    const block = this.#find(entry);
    return block === null ? 0 : (block.words[this.#at(entry)] as number) & PERMISSION;
  }

  /** User address an entry was made from; 0 for none. */
  userAddress(entry: number): number {
    const block = this.#find(entry);
    if (block === null) return 0;
    const at = this.#at(entry);
    return (block.user[at + 1] as number) * TWO_32 + (block.user[at] as number);
  }

  /** iommu_tce_xchg: stores an entry and returns the permission bits that it had. */
  exchange(entry: number, page: number, permission: number): number {
    let block = this.#find(entry);
    if (block === null) {
      if (permission === 0) return 0;
      block = this.#create(entry);
    }
    const at = this.#at(entry);
    const { words } = block;
    const old = (words[at] as number) & PERMISSION;
    const bits = this.#writeImpliesRead && permission & TCE_PCI_WRITE ? PERMISSION : permission;
    if (bits === 0) {
      words[at] = 0;
      words[at + 1] = 0;
    } else {
      words[at] = (page % TWO_32) + bits;
      words[at + 1] = Math.floor(page / TWO_32);
    }
    if (old === 0 && bits !== 0) this.live++;
    else if (old !== 0 && bits === 0) this.live--;
    return old;
  }

  setUserAddress(entry: number, address: number): void {
    const block = this.#find(entry);
    if (block === null) return;
    const at = this.#at(entry);
    block.user[at] = address % TWO_32;
    block.user[at + 1] = Math.floor(address / TWO_32);
  }

  /** First entry at or behind `entry` whose block exists; `entries` when there is none. Lets a clear skip empty space. */
  nextPresent(entry: number): number {
    if (this.#find(entry) !== null) return entry;
    const index = Math.floor(entry / this.blockEntries);
    if (this.#blocks.size === 0) return this.entries;
    let best = Number.POSITIVE_INFINITY;
    for (const each of this.#blocks.keys()) if (each > index && each < best) best = each;
    return Math.min(best * this.blockEntries, this.entries);
  }

  #at(entry: number): number {
    return (entry % this.blockEntries) * 2;
  }

  #find(entry: number): Block | null {
    const index = Math.floor(entry / this.blockEntries);
    if (index === this.#blockIndex) return this.#block;
    const block = this.#blocks.get(index);
    if (block === undefined) return null;
    this.#block = block;
    this.#blockIndex = index;
    return block;
  }

  #create(entry: number): Block {
    const index = Math.floor(entry / this.blockEntries);
    const words = Math.min(this.blockEntries, this.entries) * 2;
    const block = { words: this.#allocate(words), user: this.#allocate(words) };
    this.#blocks.set(index, block);
    this.#block = block;
    this.#blockIndex = index;
    return block;
  }
}

/** A bus address in IOMMU pages; exact, for every page size from 4 KiB up. */
export function pageNumber(hi: number, lo: number, shift: number): number {
  return shift < 32 ? hi * 2 ** (32 - shift) + (lo >>> shift) : Math.floor(hi / 2 ** (shift - 32));
}

/** Is a 64-bit value in halves a multiple of 2^shift? */
export function isAligned(hi: number, lo: number, shift: number): boolean {
  if (shift >= 32) return lo === 0 && hi % 2 ** (shift - 32) === 0;
  return (lo & (2 ** shift - 1)) === 0;
}

/** The part of a bus address below its IOMMU page number. */
export function offsetInPage(hi: number, lo: number, shift: number): number {
  return shift <= 32 ? lo % 2 ** shift : (hi % 2 ** (shift - 32)) * TWO_32 + lo;
}
