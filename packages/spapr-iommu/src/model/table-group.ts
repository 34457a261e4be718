// A table group (iommu_table_group): the hardware side of one IOMMU group, with the tables that its PE uses now.
// Tables come and go with the container that owns the group; who looks for the hardware's tables looks here.
import type { PhysicalMemory } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import { IOMMU_TABLE_GROUP_MAX_TABLES } from "../uapi.ts";
import { SpaprDomain } from "./domain.ts";
import { PartitionableEndpoint } from "./pe.ts";
import type { SpaprPlatform } from "./platform.ts";
import type { TceTable } from "./table.ts";

export class TableGroup {
  readonly iommuGroup: IommuGroup;
  readonly platform: SpaprPlatform;
  readonly pe: PartitionableEndpoint;
  readonly tables: (TceTable | null)[] = new Array<TceTable | null>(IOMMU_TABLE_GROUP_MAX_TABLES).fill(null);
  /** The kernel's own table, while VFIO does not own the group and somebody has looked for tables. */
  #kernelTable: TceTable | null = null;
  /** The latest table of the default window, where the platform keeps that. */
  #defaultTable: TceTable | null = null;
  /** DMA of the group while VFIO owns it. */
  readonly domain: SpaprDomain;

  constructor(group: IommuGroup, platform: SpaprPlatform, physical: PhysicalMemory, report: (message: string) => void) {
    this.iommuGroup = group;
    this.platform = platform;
    this.pe = new PartitionableEndpoint(group, platform, report);
    this.domain = new SpaprDomain(this.tables, this.pe, physical);
  }

  /** Programs a window into the hardware. False: this platform cannot share a table among groups. */
  setWindow(slot: number, table: TceTable, shared: boolean): boolean {
    if (shared && !this.platform.sharesTables) return false;
    this.#dropKernelTable();
    this.tables[slot] = table;
    if (this.platform.keepsDefaultTable && table.start === 0n) this.#takeDefault(table);
    return true;
  }

  /** The tables that the hardware uses now: VFIO's windows, or the kernel's own one. */
  hardwareTables(): readonly (TceTable | null)[] {
    if (this.iommuGroup.owner !== null) {
      this.#dropKernelTable();
      return this.tables;
    }
    if (this.#kernelTable === null) {
      const table = this.platform.kernelTable();
      if (typeof table !== "number") this.#kernelTable = table;
    }
    return [this.#kernelTable];
  }

  #dropKernelTable(): void {
    this.#kernelTable?.put();
    this.#kernelTable = null;
  }

  #takeDefault(table: TceTable): void {
    const before = this.#defaultTable;
    if (before !== null && before !== table && before.isHeld) before.forwardTo(table);
    this.#defaultTable = table;
  }

  unsetWindow(slot: number): void {
    this.tables[slot] = null;
  }
}
