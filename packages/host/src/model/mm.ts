// A process's address space (mm_struct): sorted areas, protections, page translation and locked-memory accounting.
// Addresses are numbers below 2^47. Adopted buffers and anonymous memory get host-physical ranges at once, so
// translation never faults pages in. Sources: mm/mmap.c, mm/mprotect.c, mm/util.c (account_locked_vm).
// Invariants: areas are page aligned and disjoint; a buffer that was entered keeps its address while any of it is mapped.

import { MAP_FIXED, MAP_SHARED, PROT_READ, PROT_WRITE } from "../constants.ts";
import { EEXIST, EINVAL, ENOMEM } from "../errno.ts";
import { type Area, type Backing, cut, firstEndingAfter } from "./area.ts";
import { capacityOf, type PhysicalMemory } from "./physical.ts";

const TASK_SIZE = 2 ** 47;
const TOP = 0x7f00_0000_0000;
const LOWEST = 0x1_0000;

export const MAP_HUGETLB = 0x40000;
const MAP_FIXED_NOREPLACE = 0x100000;
const HUGE_PAGE = 0x20_0000;

export interface AddressSpaceOptions {
  pageSize: number;
  physical: PhysicalMemory;
  /** RLIMIT_MEMLOCK in bytes, asked at each accounting. */
  memlockLimit?: () => number;
  /** Whether the process may exceed that limit (CAP_IPC_LOCK). */
  mayExceedMemlock?: () => boolean;
}

export interface MapOptions {
  length: number;
  prot: number;
  /** MAP_FIXED, MAP_SHARED and MAP_HUGETLB matter here. */
  flags?: number;
  address?: number;
}

export class AddressSpace {
  readonly pageSize: number;
  /** Pages charged against RLIMIT_MEMLOCK by drivers (mm->locked_vm). */
  lockedPages = 0;
  /** Pages that drivers pinned, whoever is charged for them (mm->pinned_vm). */
  pinnedPages = 0;
  readonly #physical: PhysicalMemory;
  readonly #memlockLimit: () => number;
  readonly #mayExceedMemlock: () => boolean;
  #areas: Area[] = [];
  #last: Area | null = null;
  readonly #addressOf = new WeakMap<ArrayBufferLike, number>();
  readonly #held = new Set<ArrayBufferLike>();

  constructor(options: AddressSpaceOptions) {
    this.pageSize = options.pageSize;
    this.#physical = options.physical;
    this.#memlockLimit = options.memlockLimit ?? (() => Number.POSITIVE_INFINITY);
    this.#mayExceedMemlock = options.mayExceedMemlock ?? (() => false);
  }

  /** The areas in ascending order. */
  get areas(): readonly Area[] {
    return this.#areas;
  }

  /** New zeroed memory: its address, or -errno. */
  mapAnonymous(options: MapOptions): number {
    const pageSize = (options.flags ?? 0) & MAP_HUGETLB ? HUGE_PAGE : this.pageSize;
    const length = roundUp(options.length, pageSize);
    if (!(length > 0)) return -EINVAL;
    if (length > TASK_SIZE) return -ENOMEM;
    let buffer: ArrayBuffer;
    try {
      buffer = new ArrayBuffer(length);
    } catch {
      return -ENOMEM;
    }
    const backing = this.#memoryBacking(buffer, ((options.flags ?? 0) & MAP_SHARED) !== 0);
    const address = this.mapBacking({ ...options, length }, backing, 0, pageSize);
    if (address >= 0) this.#addressOf.set(buffer, address);
    return address;
  }

  /** The address of a buffer the process owns; entered readable and writable on first use. */
  adopt(buffer: ArrayBufferLike): number {
    const known = this.#addressOf.get(buffer);
    if (known !== undefined && (this.areaAt(known)?.backing.buffer === buffer || this.#isMapped(buffer))) return known;
    const length = roundUp(Math.max(capacityOf(buffer), 1), this.pageSize);
    const address = this.mapBacking({ length, prot: PROT_READ | PROT_WRITE }, this.#memoryBacking(buffer, false), 0);
    if (address >= 0) this.#addressOf.set(buffer, address);
    return address;
  }

  /**
   * Maps `backing` from its byte `offset` on: the address, or -errno. Takes over the caller's reference on
   * `backing.file` when it succeeds.
   */
  mapBacking(options: MapOptions, backing: Backing, offset: number, pageSize: number = this.pageSize): number {
    const length = roundUp(options.length, pageSize);
    if (!(length > 0)) return -EINVAL;
    const start = this.#place(options, length, pageSize);
    if (start < 0) return start;
    this.#remove(start, start + length);
    const area: Area = { start, end: start + length, prot: options.prot, backing, offset, pageSize };
    this.#areas.splice(firstEndingAfter(this.#areas, start), 0, area);
    return start;
  }

  /** 0, or -EINVAL for a range that is unaligned, empty or beyond the address space. Holes are fine. */
  munmap(start: number, length: number): number {
    if (!this.#isRange(start, length)) return -EINVAL;
    this.#remove(start, start + roundUp(length, this.pageSize));
    return 0;
  }

  /** 0, -EINVAL for an unaligned start, or -ENOMEM when part of the range is not mapped. */
  mprotect(start: number, length: number, prot: number): number {
    if (length === 0 && start % this.pageSize === 0) return 0;
    if (!this.#isRange(start, length)) return -EINVAL;
    const end = start + roundUp(length, this.pageSize);
    const parts: Area[] = [];
    let at = start;
    for (let i = firstEndingAfter(this.#areas, start); i < this.#areas.length && at < end; i++) {
      const area = this.#areas[i] as Area;
      if (area.start > at) break;
      at = area.end;
      parts.push(area);
    }
    if (at < end) return -ENOMEM;
    const changed = parts.map((a) => cut(a, Math.max(a.start, start), Math.min(a.end, end), prot));
    this.#remove(start, end);
    this.#areas.splice(firstEndingAfter(this.#areas, start), 0, ...changed);
    return 0;
  }

  /** The area at an address, or undefined in a hole. */
  areaAt(vaddr: number): Area | undefined {
    const last = this.#last;
    if (last && vaddr >= last.start && vaddr < last.end) return last;
    const area = this.#areas[firstEndingAfter(this.#areas, vaddr)];
    if (!area || vaddr < area.start) return undefined;
    this.#last = area;
    return area;
  }

  /**
   * The bytes at [vaddr, vaddr + length), not a copy. Null unless one buffer backs the whole range and every page
   * allows the access (reading, or writing with `write`). `read` and `write` also cross from buffer to buffer.
   */
  resolve(vaddr: bigint | number, length: number, access: { write?: boolean } = {}): Uint8Array | null {
    const start = Number(vaddr);
    const first = this.#usable(start, access.write === true);
    if (!first?.backing.buffer || length < 0) return null;
    const at = first.offset + (start - first.start);
    for (let area = first; area.end < start + length; ) {
      const next = this.#usable(area.end, access.write === true);
      if (!next || next.backing.buffer !== first.backing.buffer) return null;
      if (next.offset !== area.offset + (area.end - area.start)) return null;
      area = next;
    }
    if (at + length > first.backing.buffer.byteLength) return null;
    return new Uint8Array(first.backing.buffer, at, length);
  }

  /** copy_from_user: fills `into`; false when any byte of the range may not be read. */
  read(vaddr: bigint | number, into: Uint8Array): boolean {
    return this.#eachPiece(Number(vaddr), into.length, false, (piece, at) => into.set(piece, at));
  }

  /** copy_to_user: false, with nothing written, when any byte of the range may not be written. */
  write(vaddr: bigint | number, from: Uint8Array): boolean {
    const start = Number(vaddr);
    if (!this.#eachPiece(start, from.length, true, () => undefined)) return false;
    return this.#eachPiece(start, from.length, true, (piece, at) => piece.set(from.subarray(at, at + piece.length)));
  }

  /** Host physical address behind a user address; -1 in a hole, without access (`write`) or without memory. */
  virtToPhys(vaddr: number, write = false): number {
    const area = this.#usable(vaddr, write);
    if (!area || area.backing.physical < 0) return -1;
    return area.backing.physical + area.offset + (vaddr - area.start);
  }

  /** Charges (or, negative, gives back) locked pages: 0, or -ENOMEM over RLIMIT_MEMLOCK without CAP_IPC_LOCK. */
  account(pages: number): number {
    if (pages > 0) {
      const bytes = (this.lockedPages + pages) * this.pageSize;
      if (bytes > this.#memlockLimit() && !this.#mayExceedMemlock()) return -ENOMEM;
    }
    this.lockedPages += pages;
    return 0;
  }

  /** Gives a buffer its host-physical range, for as long as the process lives: the address of its first byte. */
  hold(buffer: ArrayBufferLike): number {
    const physical = this.#physical.adopt(buffer);
    if (this.#held.has(buffer)) this.#physical.release(buffer);
    this.#held.add(buffer);
    return physical;
  }

  /** Unmaps everything (the process exits). */
  clear(): void {
    this.#remove(0, TASK_SIZE);
  }

  /** Gives the buffers' host-physical ranges back; after `clear`, when no descriptor is left that could reach them. */
  releasePhysical(): void {
    for (const buffer of this.#held) this.#physical.release(buffer);
    this.#held.clear();
  }

  #memoryBacking(buffer: ArrayBufferLike, shared: boolean): Backing {
    return { buffer, device: null, physical: this.hold(buffer), file: null, shared };
  }

  #isMapped(buffer: ArrayBufferLike): boolean {
    return this.#areas.some((a) => a.backing.buffer === buffer);
  }

  #isRange(start: number, length: number): boolean {
    return start >= 0 && start % this.pageSize === 0 && length > 0 && start + length <= TASK_SIZE;
  }

  #usable(vaddr: number, write: boolean): Area | null {
    const area = this.areaAt(vaddr);
    return area && (area.prot & (write ? PROT_WRITE : PROT_READ)) !== 0 ? area : null;
  }

  #eachPiece(start: number, length: number, write: boolean, visit: (piece: Uint8Array, at: number) => void): boolean {
    for (let at = 0; at < length; ) {
      const area = this.areaAt(start + at);
      if (!area) return false;
      const size = Math.min(length - at, area.end - (start + at));
      const piece = this.resolve(start + at, size, { write });
      if (!piece) return false;
      visit(piece, at);
      at += size;
    }
    return true;
  }

  #place(options: MapOptions, length: number, pageSize: number): number {
    const wanted = options.address ?? 0;
    const flags = options.flags ?? 0;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
      if (wanted % pageSize !== 0) return -EINVAL;
      if (wanted < LOWEST || wanted + length > TASK_SIZE) return -ENOMEM;
      if (flags & MAP_FIXED_NOREPLACE && !this.#isFree(wanted, length)) return -EEXIST;
      return wanted;
    }
    const hint = roundUp(wanted, pageSize);
    if (hint >= LOWEST && hint + length <= TASK_SIZE && this.#isFree(hint, length)) return hint;
    return this.#topmostGap(length, pageSize);
  }

  #isFree(start: number, length: number): boolean {
    const next = this.#areas[firstEndingAfter(this.#areas, start)];
    return !next || next.start >= start + length;
  }

  /** mmap's top-down search: the highest gap below the mmap base that is large enough. */
  #topmostGap(length: number, pageSize: number): number {
    let top = TOP;
    for (let i = this.#areas.length - 1; i >= -1; i--) {
      const area = this.#areas[i];
      const start = Math.floor((top - length) / pageSize) * pageSize;
      if (start >= Math.max(LOWEST, area?.end ?? 0)) return start;
      if (area) top = Math.min(top, area.start);
    }
    return -ENOMEM;
  }

  #remove(start: number, end: number): void {
    const from = firstEndingAfter(this.#areas, start);
    const kept: Area[] = [];
    let to = from;
    for (; to < this.#areas.length; to++) {
      const area = this.#areas[to] as Area;
      if (area.start >= end) break;
      if (area.start < start) kept.push(cut(area, area.start, start));
      if (area.end > end) kept.push(cut(area, end, area.end));
    }
    const gone = this.#areas.splice(from, to - from, ...kept);
    this.#last = null;
    for (const area of gone) area.backing.file?.put();
  }
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
