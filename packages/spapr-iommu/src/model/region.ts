// One range of registered memory (mm_iommu_table_group_mem_t): a handle on a REGION record of the TCE arena.
// Source: arch/powerpc/mm/book3s64/iommu_api.c. Nothing here allocates.
// Invariants: `mapped` is 1 plus the TCEs that point into the region, 0 when it has left its list.
import { HEADER, REGION, readNumber, type TceArena } from "./arena/index.ts";

export class MemoryRegion {
  /** First user address and first address behind. */
  readonly start: number;
  readonly end: number;
  /** Host pages. */
  readonly count: number;
  /** The largest IOMMU page that the region can back. */
  readonly pageShift: number;
  readonly #pageSize: number;
  readonly #arena: TceArena;
  #record: number;
  #pages: number;

  /** `record` is a REGION record whose pages are filled in. */
  constructor(arena: TceArena, record: number, pageSize: number) {
    const { words } = arena;
    this.#arena = arena;
    this.#record = record;
    this.#pages = words[record + REGION.PAGES] as number;
    this.start = readNumber(words, record + REGION.START);
    this.end = readNumber(words, record + REGION.END);
    this.count = words[record + REGION.PAGE_COUNT] as number;
    this.pageShift = words[record + REGION.PAGE_SHIFT] as number;
    this.#pageSize = pageSize;
  }

  get record(): number {
    return this.#record;
  }

  /** 1 plus the TCEs that point into the region; 0 once it has gone. */
  get mapped(): number {
    return this.#arena.words[this.#record + REGION.MAPPED] as number;
  }

  /** Registrations. */
  get used(): number {
    return this.#arena.words[this.#record + REGION.USED] as number;
  }

  set used(value: number) {
    this.#arena.words[this.#record + REGION.USED] = value;
  }

  /** mm_iommu_ua_to_hpa: -1 outside, or when an IOMMU page of 2^shift bytes is larger than what backs the region. */
  physical(address: number, shift: number): number {
    if (shift > this.pageShift || !(address >= this.start && address < this.end)) return -1;
    const inside = address - this.start;
    const low = inside & (this.#pageSize - 1);
    const at = this.#pages + ((inside - low) / this.#pageSize) * 2;
    const { words } = this.#arena;
    return readNumber(words, at) + low;
  }

  /** False once the region is dying. */
  mappedInc(): boolean {
    const at = this.#record + REGION.MAPPED;
    const mapped = this.#arena.words[at] as number;
    if (mapped === 0 || mapped === 0xffff_ffff) return false;
    this.#arena.words[at] = mapped + 1;
    return true;
  }

  mappedDec(): void {
    const at = this.#record + REGION.MAPPED;
    const mapped = this.#arena.words[at] as number;
    if (mapped > 1) this.#arena.words[at] = mapped - 1;
  }

  /** The last use is gone: what the handle says from now on is 0. */
  release(): void {
    this.#arena.free(this.#pages, this.count * 2);
    this.#arena.free(this.#record, REGION.SIZE);
    this.#record = HEADER.NOTHING;
    this.#pages = HEADER.NOTHING;
  }
}
