// The DMA windows of one container: up to two tables that all its groups use. The default window is made lazily, by
// the first call that needs it. Source: tce_iommu_create_window, tce_iommu_create_default_window,
// tce_iommu_remove_window. Invariants: a table sits in the same slot of the container and of each group; a table that
// is gone has returned its charge; a creation that fails inside the platform leaves its charge behind, as the kernel does.
import { EINVAL, ENODEV, ENOMEM, ENOSPC, EPERM } from "@minivmm/host";
import type { LockedPages } from "./accounting.ts";
import { clearTces, type PageUse } from "./clear.ts";
import type { WindowRequest } from "./platform.ts";
import type { SpaprProfile } from "./profile.ts";
import type { TceTable } from "./table.ts";
import type { TableGroup } from "./table-group.ts";

const DEFAULT_WINDOW_SHIFT = 12;

export class ContainerWindows {
  /** The default window is owed: it exists as soon as somebody needs it. */
  defaultPending = false;
  readonly tables: (TceTable | null)[] = [null, null];
  /** Attached groups, the latest first. */
  readonly groups: TableGroup[] = [];
  readonly #account: LockedPages;
  readonly #use: PageUse;
  readonly #profile: SpaprProfile;
  readonly #pageSize: number;

  /** `pageSize` is the host's, the unit of accounting. */
  constructor(account: LockedPages, use: PageUse, profile: SpaprProfile, pageSize: number) {
    this.#pageSize = pageSize;
    this.#account = account;
    this.#use = use;
    this.#profile = profile;
  }

  /** The window that holds a bus address, or null. */
  find(hi: number, lo: number): TceTable | null {
    for (let slot = 0; slot < this.tables.length; slot++) {
      const table = this.tables[slot];
      if (table && table.entryOf(hi, lo) >= 0) return table;
    }
    return null;
  }

  /** 0 or -errno. Does nothing unless the default window is owed. */
  createDefault(): number {
    if (!this.defaultPending) return 0;
    const group = this.groups[0];
    if (!group) return -ENODEV;
    const windowSize = BigInt(group.platform.tce32Size);
    const table = this.create({ pageShift: DEFAULT_WINDOW_SHIFT, windowSize, levels: 1 });
    if (typeof table === "number") return table;
    this.defaultPending = false;
    return 0;
  }

  /** The new table, or -errno. */
  create(request: WindowRequest): TceTable | number {
    const slot = this.tables.indexOf(null);
    if (slot < 0) return -ENOSPC;
    const group = this.groups[0];
    if (!group) return -ENODEV;
    const { platform } = group;
    if (!platform.pageShifts.has(request.pageShift)) return -EINVAL;
    const bytes = platform.tableSize(request);
    if (bytes === 0) return -EINVAL;
    const pages = Math.floor(bytes / this.#pageSize);
    if (this.#account.charge(pages) < 0) return -ENOMEM;
    const table = platform.createTable(request, { slot, tables: this.tables });
    if (typeof table === "number") {
      this.#account.leak(pages);
      return table;
    }
    if (!this.groups.every((each) => each.setWindow(slot, table, each !== group))) {
      for (const each of this.groups) each.unsetWindow(slot);
      this.#free(table);
      return -EPERM;
    }
    this.tables[slot] = table;
    return table;
  }

  /** Any address inside a window names it. 0 or -EINVAL. */
  remove(hi: number, lo: number): number {
    const slot = this.tables.findIndex((table) => table !== null && table.entryOf(hi, lo) >= 0);
    const table = this.tables[slot];
    if (!table) return -EINVAL;
    clearTces(table, 0, table.entries, this.#use);
    for (const group of this.groups) group.unsetWindow(slot);
    this.tables[slot] = null;
    this.#free(table);
    return 0;
  }

  /**
   * Takes over the table that the kernel itself used for a group, as v1 did while ownership was a pair of callbacks:
   * the container gets it ready-made and pays nothing. 0 or -errno.
   */
  adoptTable(group: TableGroup): number {
    const { platform } = group;
    const request = { pageShift: DEFAULT_WINDOW_SHIFT, windowSize: BigInt(platform.tce32Size), levels: 1 };
    const table = platform.createTable(request, { slot: 0, tables: this.tables });
    if (typeof table === "number") return table;
    this.tables[0] = table;
    this.#adopted = true;
    group.setWindow(0, table, false);
    this.groups.unshift(group);
    return 0;
  }

  #adopted = false;

  /** Programs all windows into a group that joins: 0, or -EPERM with nothing left programmed. */
  addGroup(group: TableGroup): number {
    for (let slot = 0; slot < this.tables.length; slot++) {
      const table = this.tables[slot];
      if (!table || group.setWindow(slot, table, true)) continue;
      for (let each = 0; each < this.tables.length; each++) group.unsetWindow(each);
      return -EPERM;
    }
    this.groups.unshift(group);
    return 0;
  }

  /** Takes the windows out of a leaving group. The tables are shared, so clearing them ends everybody's mappings. */
  removeGroup(group: TableGroup): void {
    this.groups.splice(this.groups.indexOf(group), 1);
    for (let slot = 0; slot < this.tables.length; slot++) {
      const table = this.tables[slot];
      if (table && this.#profile.clearBeforeUnset) clearTces(table, 0, table.entries, this.#use);
      if (table && this.#adopted) {
        clearTces(table, 0, table.entries, this.#use);
        this.tables[slot] = null;
        table.put();
      }
      group.unsetWindow(slot);
    }
    this.#adopted = false;
  }

  /** All groups are gone. */
  release(): void {
    for (let slot = 0; slot < this.tables.length; slot++) {
      const table = this.tables[slot];
      if (!table) continue;
      clearTces(table, 0, table.entries, this.#use);
      this.tables[slot] = null;
      this.#free(table);
    }
    this.defaultPending = false;
  }

  #free(table: TceTable): void {
    this.#account.release(Math.floor(table.allocatedBytes / this.#pageSize));
    this.#account.release(Math.ceil(table.userViewBytes / this.#pageSize));
    table.put();
  }
}
