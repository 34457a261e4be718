/**
 * A hardware page table (struct iommufd_hwpt_paging): shows an IOAS to the devices that are attached to it.
 *
 * Attaching a device to an IOAS makes one, or shares one that was made so, and it goes with its last device; those that
 * users make stay until they destroy them. Source: drivers/iommu/iommufd/hw_pagetable.c.
 */
import { ENOENT, EOPNOTSUPP } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import { IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_NEST_PARENT } from "../../uapi-iommufd.ts";
import type { IommuUnit } from "../type1/hardware.ts";
import type { IommufdContext } from "./context.ts";
import { HardwareDomain } from "./domain.ts";
import type { Ioas } from "./ioas.ts";
import { IommufdObject } from "./object.ts";

const FLAGS = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING;

export class Hwpt extends IommufdObject {
  readonly type = "hwpt";
  readonly ioas: Ioas;
  readonly domain: HardwareDomain;
  readonly nestParent: boolean;
  /** Made by attaching a device to its IOAS. */
  automatic = false;

  /** Throws KernelError EOPNOTSUPP for what the unit cannot do, and for IOMMU_HWPT_FAULT_ID_VALID. */
  constructor(context: IommufdContext, ioas: Ioas, unit: IommuUnit, flags: number) {
    super();
    const marks = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
    this.nestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
    const possible = (!marks || unit.dirtyTracking) && (!this.nestParent || unit.nesting);
    if ((flags & ~FLAGS) !== 0 || !possible) throw new KernelError(EOPNOTSUPP);
    this.ioas = ioas;
    this.domain = new HardwareDomain(ioas.table.dma, unit, marks);
    ioas.users++;
    context.objects.add(this);
  }

  /** Throws KernelError ENOENT. */
  static get(context: IommufdContext, id: number): Hwpt {
    const object = context.objects.get(id);
    if (!(object instanceof Hwpt)) throw new KernelError(ENOENT, `object ${id} is no hardware page table`);
    return object;
  }

  /** Fills the table with what the IOAS maps. Throws KernelError. */
  publish(): void {
    this.ioas.table.addDomain(this.domain);
    this.ioas.hwpts.push(this);
  }

  override destroy(): void {
    const { hwpts, table } = this.ioas;
    const at = hwpts.indexOf(this);
    if (at >= 0) {
      hwpts.splice(at, 1);
      table.removeDomain(this.domain);
    }
    this.ioas.users--;
  }
}
