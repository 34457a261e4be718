/**
 * A VFIO group: the devices of one IOMMU group that are bound to a VFIO driver, and the node /dev/vfio/N.
 *
 * `containerUsers` is 0 when not attached, 1 when attached, and one more for each open device and each historical
 * external user. The node opens once at a time; open devices keep the group's file alive, so it stays un-openable.
 * Source: drivers/vfio/group.c, vfio_main.c.
 */
import type { OpenFile } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import type { VfioContainer } from "./container.ts";
import type { IommuAttachable, VfioGroupType } from "./iommu-driver.ts";

/** The virtual machine a group or device belongs to, as far as VFIO cares: something with a reference count. */
export interface KvmReference {
  get(): unknown;
  put(): void;
}

/** `D`: what the group registers; generic because devices know their group. */
export class VfioGroup<D = unknown> implements IommuAttachable {
  readonly id: number;
  readonly type: VfioGroupType;
  readonly iommuGroup: IommuGroup;
  /** Registered devices in bind order. Empty: the group lost its last driver and is only a husk behind open files. */
  readonly devices: D[] = [];
  /** True from open(2) of the node until the last reference on that file is gone. */
  opened = false;
  /** That file, once an ioctl has shown it to us. */
  openedFile: OpenFile | null = null;
  container: VfioContainer | null = null;
  containerUsers = 0;
  /** File of the iommufd that is the group's container instead; a reference is held. */
  iommufd: OpenFile | null = null;
  /** Devices that are bound to an iommufd through their own nodes; the group's node stays closed meanwhile. */
  boundByNode = 0;
  kvm: KvmReference | null = null;

  constructor(iommuGroup: IommuGroup, type: VfioGroupType = "iommu") {
    this.id = iommuGroup.id;
    this.type = type;
    this.iommuGroup = iommuGroup;
  }

  /** The name of the node below /dev/vfio. */
  get nodeName(): string {
    return this.type === "noiommu" ? `noiommu-${this.id}` : String(this.id);
  }

  /** Has a container, of whichever kind. */
  get attached(): boolean {
    return this.container !== null || this.iommufd !== null;
  }

  /** Nobody uses the group's DMA, or only this group does. */
  get viable(): boolean {
    const { owner, viable } = this.iommuGroup;
    return (owner === null || owner === this) && viable;
  }

  /** False: somebody else uses the group's DMA. */
  claimDma(): boolean {
    return this.type !== "iommu" || this.iommuGroup.claimDmaOwner(this) === 0;
  }

  releaseDma(): void {
    if (this.iommuGroup.owner === this) this.iommuGroup.releaseDmaOwner();
  }

  /** One user of the container fewer; the last one dissolves the tie. */
  putUser(): void {
    if (!this.container) return;
    this.containerUsers--;
    if (this.containerUsers === 0) this.detachContainer();
  }

  /** The iommufd is no container of the group any more; its open devices stay bound. */
  leaveIommufd(): void {
    const file = this.iommufd;
    this.iommufd = null;
    file?.put();
  }

  /** Takes the group out of its container and gives its DMA back. */
  detachContainer(): void {
    this.container?.detach(this);
    this.container = null;
    this.containerUsers = 0;
    this.releaseDma();
  }
}
