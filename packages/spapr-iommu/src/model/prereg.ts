// Preregistered memory (mm_iommu): ranges of a process that are pinned once, so that mapping them later is cheap.
// One list per address space, shared by its containers. Source: arch/powerpc/mm/book3s64/iommu_api.c.
// Regions lie in the kernel's TCE arena (arena/layout.ts, REGION), so that a hypercall finds them without JavaScript.
// Invariants: regions of one mm do not overlap; `mapped` is 1 plus the TCEs that point into the region; a region that
// left the list has mapped 0. Lookups do not allocate.
import { EBUSY, EFAULT, EINVAL, ENOENT, ENOMEM } from "@minivmm/host";
import { type AddressSpace, KernelError } from "@minivmm/host/model";
import { REGION, type TceArena, writeNumber } from "./arena/index.ts";
import { backingSize, pinForWrite } from "./pin.ts";
import { MemoryRegion } from "./region.ts";

/** Pages pinned in one step: as many as have their pointers in the largest page allocation. */
const PIN_CHUNK = (16 * 1024 * 1024) / 8;
/** Pages of a region whose array still fits into 4 GiB of memory. */
const LARGEST_ARRAY = 2 ** 29;

export class PreregisteredMemory {
  readonly #mm: AddressSpace;
  readonly #arena: TceArena;
  /** Where the arena keeps the pointer to the first region. */
  readonly head: number;
  readonly #regions: MemoryRegion[] = [];
  #last: MemoryRegion | null = null;
  static readonly #lists = new WeakMap<AddressSpace, PreregisteredMemory>();

  private constructor(mm: AddressSpace, arena: TceArena) {
    this.#mm = mm;
    this.#arena = arena;
    this.head = arena.allocate(2);
    if (this.head === 0) throw new KernelError(ENOMEM, "the TCE arena is full");
  }

  /** The list of an address space, which is in its kernel's arena. */
  static of(mm: AddressSpace, arena: TceArena): PreregisteredMemory {
    let list = PreregisteredMemory.#lists.get(mm);
    if (!list) {
      list = new PreregisteredMemory(mm, arena);
      PreregisteredMemory.#lists.set(mm, list);
    }
    return list;
  }

  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /** mm_iommu_get: the region with exactly these bounds, with one more use. */
  get(start: number, size: number): MemoryRegion | undefined {
    const region = this.#regions.find((r) => r.start === start && r.end === start + size);
    if (region) region.used++;
    return region;
  }

  /** mm_iommu_lookup: the region that holds all of [start, start + size). */
  lookup(start: number, size: number): MemoryRegion | null {
    const last = this.#last;
    if (last !== null && start >= last.start && start + size <= last.end) return last;
    for (let i = 0; i < this.#regions.length; i++) {
      const region = this.#regions[i] as MemoryRegion;
      if (start >= region.start && start + size <= region.end) {
        this.#last = region;
        return region;
      }
    }
    return null;
  }

  /**
   * mm_iommu_new: charges, pins and lists a region. Returns it, or the positive count of pages that the last pinning
   * step got before it met a hole. Throws KernelError ENOMEM, EFAULT or EINVAL (overlap).
   */
  register(start: number, size: number, overlapFirst: boolean): MemoryRegion | number {
    if (overlapFirst && this.#overlaps(start, size))
      throw new KernelError(EINVAL, "the range overlaps a registered one");
    const count = size / this.#mm.pageSize;
    if (this.#mm.account(count) < 0) throw new KernelError(ENOMEM, `${size} bytes exceed RLIMIT_MEMLOCK`);
    const refuse = (errno: number, reason: string): KernelError => {
      this.#mm.account(-count);
      return new KernelError(errno, reason);
    };
    // The array of pages is made first: vzalloc fails for 0 bytes and for more than the machine has.
    if (count === 0 || count > LARGEST_ARRAY) throw refuse(ENOMEM, "no array of pages for a region of this size");
    const pinned = this.#pinnable(start, count);
    if (pinned < count) {
      const lastStep = pinned % PIN_CHUNK;
      if (lastStep === 0 || overlapFirst) throw refuse(EFAULT, "a page of the range cannot be pinned for writing");
      this.#mm.account(-count);
      return lastStep;
    }
    if (!overlapFirst && this.#overlaps(start, size)) throw refuse(EINVAL, "the range overlaps a registered one");
    const region = this.#pin(start, count);
    if (region === null) throw refuse(ENOMEM, "the TCE arena has no room for the region's pages");
    this.#regions.push(region);
    this.#link();
    return region;
  }

  /** mm_iommu_put: 0; -ENOENT without a use; -EBUSY, with the use kept, when it is the last one and pages are mapped. */
  put(region: MemoryRegion): number {
    if (region.used === 0) return -ENOENT;
    if (--region.used > 0) return 0;
    if (region.mapped !== 1) {
      region.used++;
      return -EBUSY;
    }
    this.#regions.splice(this.#regions.indexOf(region), 1);
    if (this.#last === region) this.#last = null;
    this.#link();
    this.#mm.account(-region.count);
    region.release();
    return 0;
  }

  /** Writes the list's order into the arena. */
  #link(): void {
    const { words } = this.#arena;
    let at = this.head;
    for (const { record } of this.#regions) {
      words[at] = record;
      at = record + REGION.NEXT;
    }
    words[at] = 0;
  }

  #overlaps(start: number, size: number): boolean {
    return this.#regions.some((r) => r.start < start + size && start < r.end);
  }

  /** Pages from `start` on that can be pinned for writing, up to `count`. */
  #pinnable(start: number, count: number): number {
    const mm = this.#mm;
    const end = start + count * mm.pageSize;
    let at = start;
    while (at < end && pinForWrite(mm, at) >= 0) at = mm.areaAt(at)?.end ?? end;
    return Math.min((at - start) / mm.pageSize, count);
  }

  #pin(start: number, count: number): MemoryRegion | null {
    const mm = this.#mm;
    const arena = this.#arena;
    const record = arena.allocate(REGION.SIZE);
    const pages = arena.allocate(count * 2);
    if (record === 0 || pages === 0) {
      arena.free(record, REGION.SIZE);
      arena.free(pages, count * 2);
      return null;
    }
    const { words } = arena;
    const base = Math.log2(mm.pageSize);
    let shift = Math.min(trailingZeros(start), trailingZeros(count * mm.pageSize));
    // The kernel's helper variable keeps a huge shift: a later base page does not lower the result.
    let backing = base;
    for (let i = 0; i < count; i++) {
      const address = start + i * mm.pageSize;
      writeNumber(words, pages + i * 2, pinForWrite(mm, address));
      const size = backingSize(mm, address);
      if (size > mm.pageSize) backing = Math.log2(size);
      shift = Math.min(shift, backing);
    }
    words[record + REGION.PAGE_SHIFT] = shift;
    writeNumber(words, record + REGION.START, start);
    writeNumber(words, record + REGION.END, start + count * mm.pageSize);
    words[record + REGION.MAPPED] = 1;
    words[record + REGION.USED] = 1;
    words[record + REGION.PAGES] = pages;
    words[record + REGION.PAGE_COUNT] = count;
    return new MemoryRegion(arena, record, mm.pageSize);
  }
}

function trailingZeros(value: number): number {
  if (value === 0) return 64;
  let zeros = 0;
  for (let rest = value; rest % 2 === 0; rest /= 2) zeros++;
  return zeros;
}
