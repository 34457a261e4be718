// Taking TCEs away, and what that gives back: v2 entries point into registered regions, v1 entries hold a pinned page
// each. Source: tce_iommu_clear, tce_iommu_unuse_page, tce_iommu_unuse_page_v2.
import type { LockedPages } from "./accounting.ts";
import type { TceArena } from "./arena/index.ts";
import { PreregisteredMemory } from "./prereg.ts";
import type { TceTable } from "./table.ts";

/** What a container knows about the pages that its TCEs use. */
export class PageUse {
  readonly v2: boolean;
  /** v1: pages pinned by TCEs, one for each entry. */
  pinned = 0;
  readonly #account: LockedPages;
  readonly #arena: TceArena;

  constructor(v2: boolean, account: LockedPages, arena: TceArena) {
    this.#arena = arena;
    this.v2 = v2;
    this.#account = account;
  }

  /** Regions of the owner; only valid once the container has one. */
  get regions(): PreregisteredMemory | null {
    return this.#account.mm === null ? null : PreregisteredMemory.of(this.#account.mm, this.#arena);
  }

  /** An entry's old mapping is gone. */
  unuse(table: TceTable, entry: number): void {
    if (!this.v2) {
      this.pinned--;
      return;
    }
    const address = table.userAddress(entry);
    if (address === 0) return;
    const regions = this.regions;
    if (regions === null) return;
    const region = regions.lookup(address, table.pageSize);
    if (region !== null && region.physical(address, table.pageShift) >= 0) region.mappedDec();
    table.setUserAddress(entry, 0);
  }
}

/** Clears `count` entries from `first` on. Entries behind the table's end are nothing. */
export function clearTces(table: TceTable, first: number, count: number, use: PageUse): void {
  const end = Math.min(first + count, table.entries);
  for (let entry = table.nextLive(first, end); entry < end; entry = table.nextLive(entry + 1, end)) {
    if (table.exchange(entry, 0, 0) > 0) use.unuse(table, entry);
  }
}
