// Which hardware page table of an iommufd each device gets. The kernel makes one for the devices that are attached to an
// address space and takes the first that fits; one that was made for a device whose IOMMU unit has no snoop control fits
// everybody, and takes it from all who come later. Those get a table of their own then, over the same pinned pages.
// Source: drivers/iommu/iommufd/device.c (iommufd_device_auto_get_domain), hw_pagetable.c; Intel VT-d 11.4.3 (ECAP.SC).
// Invariant: what the kernel does not tell or does not do leaves the choice to it.
import {
  type Hwpt,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  type Ioas,
  type Iommufd,
  iommu_hw_info_vtd,
  type VfioCdev,
  VfioError,
} from "@minivmm/vfio-core";

const ECAP_SC = 0x80n;

export class IommufdTables {
  private readonly iommufd: Iommufd;
  private readonly space: Ioas;
  /** Of each device that was attached: its unit makes no-snoop DMA snoop. */
  private readonly snoops = new Map<VfioCdev, boolean | null>();
  /** For units that can, once a table exists that does not. */
  private enforcing: Hwpt | undefined;

  constructor(iommufd: Iommufd, space: Ioas) {
    this.iommufd = iommufd;
    this.space = space;
  }

  /** All DMA of all devices snoops, whatever they ask for; null where one's unit does not say. */
  get enforcesSnoop(): boolean | null {
    const all = [...this.snoops.values()];
    if (all.includes(false)) return false;
    return all.length === 0 || all.includes(null) ? null : true;
  }

  /** Attaches a device that has been bound. Throws VfioError. */
  attach(device: VfioCdev): void {
    const id = device.deviceId as number;
    const snoops = this.snoopControl(id);
    const apart = snoops === true && [...this.snoops.values()].includes(false);
    if (!apart || !this.attachEnforcing(device, id)) device.attach(this.space);
    this.snoops.set(device, snoops);
  }

  /** It is detached, or will be when its descriptor is closed. */
  forget(device: VfioCdev): void {
    this.snoops.delete(device);
  }

  close(): void {
    this.enforcing?.[Symbol.dispose]();
    this.enforcing = undefined;
  }

  /** False: another function of its group has a table already, or none can be made. */
  private attachEnforcing(device: VfioCdev, id: number): boolean {
    try {
      this.enforcing ??= this.iommufd.allocHwpt({ device: id, ioas: this.space });
      device.attach(this.enforcing);
      return true;
    } catch (error) {
      if (error instanceof VfioError) return false;
      throw error;
    }
  }

  private snoopControl(id: number): boolean | null {
    try {
      const { type, data } = this.iommufd.hwInfo(id);
      if (type !== IOMMU_HW_INFO_TYPE_INTEL_VTD || data.length < iommu_hw_info_vtd.size) return null;
      return (iommu_hw_info_vtd.decode(data).ecap_reg & ECAP_SC) !== 0n;
    } catch (error) {
      if (error instanceof VfioError) return null;
      throw error;
    }
  }
}
