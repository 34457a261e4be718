// How an x86-64 guest maps a physical page: its page tables, read from RAM as the processor would, and the memory type that
// the entry asks for.
// Source: Intel 64 SDM volume 3, 4.5 (4-level and 5-level paging), 11.12 (PAT).
// Invariants: nothing outside RAM is read, whatever the tables say; a search looks at a bounded number of entries and gives up
// beyond that; tables may change while they are read, so what is found is a moment's truth.
import type { PcRam } from "./ram.ts";

export interface PagingState {
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** IA32_PAT. */
  readonly pat: bigint;
}

/** Types of IA32_PAT by number. */
export const MEMORY_TYPES = ["UC", "WC", "reserved", "reserved", "WT", "WP", "WB", "UC-"] as const;
export type MemoryType = (typeof MEMORY_TYPES)[number];

export interface GuestMapping {
  readonly linear: bigint;
  readonly physical: number;
  /** Bytes: 4 KiB, 2 MiB or 1 GiB. */
  readonly size: number;
  readonly type: MemoryType;
  readonly writable: boolean;
}

const CR4_LA57 = 1n << 12n;
const PRESENT = 1;
const WRITE = 2;
const PWT = 8;
const PCD = 16;
const LARGE = 0x80;
const PAT_SMALL = 0x80;
const PAT_LARGE = 0x1000;
const ENTRIES = 512;
const TWO_32 = 0x1_0000_0000;
const ADDRESS_HI = 0x000f_ffff;
/** A kernel's tables for some GiB; more would keep the guest waiting. */
const SEARCH_MAX = 1 << 18;

export class GuestMappings {
  private readonly ram: PcRam;
  private readonly state: PagingState;
  private visited = 0;

  constructor(ram: PcRam, state: PagingState) {
    this.ram = ram;
    this.state = state;
  }

  /** How a linear address is mapped now, undefined when it is not. */
  at(linear: bigint): GuestMapping | undefined {
    let table = tableAddress(Number(this.state.cr3 & 0xffff_ffffn), Number(this.state.cr3 >> 32n));
    for (let level = this.levels; level >= 1; level--) {
      const index = Number((linear >> BigInt(3 + 9 * level)) & 0x1ffn);
      const entry = this.entry(table, index);
      if (entry === undefined || (entry.lo & PRESENT) === 0) return undefined;
      if (level === 1 || (level <= 3 && (entry.lo & LARGE) !== 0)) {
        const size = pageSize(level);
        return this.mapping(linear - (linear % BigInt(size)), level, entry.lo, entry.hi);
      }
      table = tableAddress(entry.lo, entry.hi);
    }
    return undefined;
  }

  /** All mappings of pages in [start, end) of physical memory. Undefined when the tables are too many to look through. */
  of(start: number, end: number): GuestMapping[] | undefined {
    const found: GuestMapping[] = [];
    this.visited = 0;
    const top = tableAddress(Number(this.state.cr3 & 0xffff_ffffn), Number(this.state.cr3 >> 32n));
    return this.search(top, this.levels, 0n, start, end, found) ? found : undefined;
  }

  private get levels(): number {
    return (this.state.cr4 & CR4_LA57) !== 0n ? 5 : 4;
  }

  private search(
    table: number,
    level: number,
    linear: bigint,
    start: number,
    end: number,
    found: GuestMapping[],
  ): boolean {
    const piece = this.ram.pieceOf(table, ENTRIES * 8);
    if (piece === undefined) return true;
    this.visited += ENTRIES;
    if (this.visited > SEARCH_MAX) return false;
    const base = table - piece.start;
    for (let index = 0; index < ENTRIES; index++) {
      const lo = piece.memory.u32le(base + index * 8);
      if ((lo & PRESENT) === 0) continue;
      const hi = piece.memory.u32le(base + index * 8 + 4);
      const here = linear + (BigInt(index) << BigInt(3 + 9 * level));
      if (level === 1 || (level <= 3 && (lo & LARGE) !== 0)) {
        const size = pageSize(level);
        const physical = tableAddress(lo, hi) - (tableAddress(lo, hi) % size);
        if (physical < end && physical + size > start)
          found.push(this.mapping(canonical(here, this.levels), level, lo, hi));
      } else if (!this.search(tableAddress(lo, hi), level - 1, here, start, end, found)) {
        return false;
      }
    }
    return true;
  }

  private mapping(linear: bigint, level: number, lo: number, hi: number): GuestMapping {
    const size = pageSize(level);
    const address = tableAddress(lo, hi);
    const high = (lo & (level === 1 ? PAT_SMALL : PAT_LARGE)) !== 0 ? 4 : 0;
    const index = high | ((lo & PCD) !== 0 ? 2 : 0) | ((lo & PWT) !== 0 ? 1 : 0);
    const type = MEMORY_TYPES[Number((this.state.pat >> BigInt(8 * index)) & 7n)] as MemoryType;
    return { linear, physical: address - (address % size), size, type, writable: (lo & WRITE) !== 0 };
  }

  private entry(table: number, index: number): { lo: number; hi: number } | undefined {
    const piece = this.ram.pieceOf(table, ENTRIES * 8);
    if (piece === undefined) return undefined;
    const at = table - piece.start + index * 8;
    return { lo: piece.memory.u32le(at), hi: piece.memory.u32le(at + 4) };
  }
}

/** Bits 12 to 51 of an entry. */
function tableAddress(lo: number, hi: number): number {
  return (hi & ADDRESS_HI) * TWO_32 + ((lo & 0xffff_f000) >>> 0);
}

function pageSize(level: number): number {
  return 2 ** (3 + 9 * level);
}

function canonical(linear: bigint, levels: number): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, linear));
}
