/**
 * What a VFIO IOMMU back end (sPAPR TCE, type1, ...) is to the container code: `struct vfio_iommu_driver_ops`.
 *
 * Source: include/linux/vfio.h, drivers/vfio/container.c.
 * Invariants: a driver is registered once per kernel; an instance lives from a successful SET_IOMMU until the last
 * group leaves the container, and is released only after every group was detached from it.
 */
import type { IoctlCall, ModelProcess } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";

/** `enum vfio_group_type`: behind an IOMMU, mediated (pages pinned on demand), or without any IOMMU. */
export type VfioGroupType = "iommu" | "emulated" | "noiommu";

/** A VFIO group as it is handed to an IOMMU driver. Identity matters: the same group is the same object. */
export interface IommuAttachable {
  /** Number of the IOMMU group, the N of /dev/vfio/N. */
  readonly id: number;
  readonly type: VfioGroupType;
  /** Members and the translation in force: a driver puts its domain into `iommuGroup.domain` while attached. */
  readonly iommuGroup: IommuGroup;
}

/** The container as an IOMMU driver sees it while opening. */
export interface IommuContainer {
  /** Attached groups, oldest first. */
  readonly groups: readonly IommuAttachable[];
  readonly noiommu: boolean;
}

/** One container's use of a driver: `iommu_data` of the kernel. */
export interface IommuInstance {
  /** Throws KernelError when the group cannot be attached; nothing is then left behind. */
  attachGroup(group: IommuAttachable): void;
  /** Undoes attachGroup. Cannot fail. The core blocks all DMA of the group right after. */
  detachGroup(group: IommuAttachable): void;
  /** Container ioctls other than API version, extensions and SET_IOMMU. Result, or -errno; -ENOTTY when unknown. KernelError is turned into -errno. */
  ioctl(call: IoctlCall): number;
  /** Value of CHECK_EXTENSION while this instance is the container's IOMMU. */
  checkExtension(ext: number): number;
  /** All groups are gone: free windows, unpin pages, return the locked-page accounting. */
  release(): void;
}

export interface IommuDriver {
  readonly name: string;
  /** True only for the noiommu driver: groups without an IOMMU go to it and to nothing else. */
  readonly allowsNoiommu: boolean;
  /** CHECK_EXTENSION. `instance` is null as long as the container has no IOMMU; then all drivers are asked, the newest first. */
  checkExtension(ext: number, instance: IommuInstance | null): number;
  /**
   * SET_IOMMU with `type`, for which checkExtension answered > 0, by `process`. Throws KernelError when the value is not a
   * type of this driver.
   */
  open(type: number, container: IommuContainer, process: ModelProcess): IommuInstance;
}
