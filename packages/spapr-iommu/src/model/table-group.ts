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
    this.tables[slot] = table;
    return true;
  }

  unsetWindow(slot: number): void {
    this.tables[slot] = null;
  }
}
