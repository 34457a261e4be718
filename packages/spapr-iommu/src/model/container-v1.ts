// Version 1 (VFIO_SPAPR_TCE_IOMMU): one group, one window. ENABLE charges the whole window against RLIMIT_MEMLOCK once,
// because TCE handling is too hot to count pages; each mapped page is pinned when it is mapped.
// Source: tce_iommu_enable, tce_iommu_disable. DISABLE keeps the mappings.
import { EBUSY, ENODEV, ENOMEM, ENOTTY, ENXIO, EPERM } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { type ContainerContext, TceContainer } from "./container.ts";

export class TceContainerV1 extends TceContainer {
  readonly v2 = false;
  /** Pages charged by ENABLE. */
  #locked = 0;

  constructor(context: ContainerContext) {
    super(context, false);
  }

  protected override versioned(call: IoctlCall): number {
    const { ioctls } = this.context;
    switch (call.request) {
      case ioctls.VFIO_IOMMU_ENABLE:
        return this.#enable(call);
      case ioctls.VFIO_IOMMU_DISABLE:
        this.disable();
        return 0;
      default:
        return -ENOTTY;
    }
  }

  protected override releaseVersion(): void {
    this.disable();
    this.use.pinned = 0;
  }

  protected override disable(): void {
    if (!this.enabled) return;
    this.enabled = false;
    this.account.release(this.#locked);
    this.#locked = 0;
  }

  #enable(call: IoctlCall): number {
    const group = this.windows.groups[0];
    if (!this.profile.v2 && !group) return -ENXIO;
    if (this.enabled) return -EBUSY;
    if (!group) return -ENODEV;
    const size = group.platform.tce32Size;
    if (size === 0) return -EPERM;
    this.own(call);
    const pages = Math.floor(size / this.context.pageSize);
    if (this.account.charge(pages) < 0) return -ENOMEM;
    this.#locked = pages;
    this.enabled = true;
    return 0;
  }
}
