/**
 * An IOMMU group as one iommufd sees it: its bound devices, those that are attached, and the page table of all of them.
 *
 * Devices of a group share one page table; the first to attach decides, the others must follow. The group's DMA belongs
 * to the iommufd from the first bound device to the last. Source: struct iommufd_group, iommu_device_claim_dma_owner.
 */
import { EPERM } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import type { Hwpt } from "./hwpt.ts";

/** `D`: the devices, generic because they know their group. */
export class DeviceGroup<D> {
  readonly iommuGroup: IommuGroup;
  readonly attached: D[] = [];
  hwpt: Hwpt | null = null;
  #bound = 0;

  /** `owner`: who the group's DMA belongs to. Throws KernelError EPERM: a host driver or another user has it. */
  constructor(iommuGroup: IommuGroup, owner: object) {
    if (iommuGroup.claimDmaOwner(owner) < 0) {
      throw new KernelError(EPERM, `the DMA of group ${iommuGroup.id} belongs to somebody else`);
    }
    this.iommuGroup = iommuGroup;
  }

  /** One more bound device. */
  get(): this {
    this.#bound++;
    return this;
  }

  put(): void {
    if (--this.#bound === 0) this.iommuGroup.releaseDmaOwner();
  }
}
