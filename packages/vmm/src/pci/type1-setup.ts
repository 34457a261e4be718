// A container of the type1 kind, set up for one VM: all RAM is mapped at the addresses that the guest knows it by, and
// KVM is told of the groups.
// Source: QEMU 7.2 hw/vfio/common.c (vfio_connect_container, vfio_listener_region_add).
// Order: IOMMU type, RAM, groups to KVM, then devices; tearing down is the reverse. Invariant: a device can reach all of
// the guest's RAM and nothing else from the moment it may master the bus.
import {
  Type1Container,
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  type VfioContainer,
} from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";
import type { PcRam } from "../machines/pc/ram.ts";
import type { KvmGroups } from "./kvm-groups.ts";
import type { IommuSetup } from "./vfio-session.ts";

export class Type1Setup implements IommuSetup {
  private readonly container: VfioContainer;
  private readonly type1: Type1Container;
  private readonly kvm: KvmGroups | undefined;
  private readonly groups: number[] = [];

  /** `container` has a group and no IOMMU type yet. `kvm` is absent where KVM is on another host. Throws VmmError PASSTHROUGH, VfioError. */
  constructor(container: VfioContainer, type: number | undefined, ram: PcRam, kvm: KvmGroups | undefined) {
    if (type !== VFIO_TYPE1v2_IOMMU && type !== VFIO_TYPE1_IOMMU) {
      throw new VmmError("machine pc needs a host with a type1 IOMMU, and this one has none", {
        code: "PASSTHROUGH",
        details: { type },
        hint:
          container.host.arch === "x86_64"
            ? "load it: modprobe vfio_iommu_type1"
            : "pass devices through on an x86 host whose IOMMU is on, or on a modelled one such as desktop",
      });
    }
    container.setIommu(type);
    this.kvm = kvm;
    this.container = container;
    this.type1 = new Type1Container(container);
    for (const { start, memory } of ram.pieces) this.type1.mapDma({ iova: BigInt(start), memory: memory.u8 });
  }

  /** The IOMMU makes all DMA snoop, whatever a device asks for; a group that joins may change it. */
  get enforcesSnoop(): boolean {
    return this.container.checkExtension(VFIO_DMA_CC_IOMMU) > 0;
  }

  start(groupFd: number): void {
    this.addGroup(groupFd);
  }

  addGroup(groupFd: number): void {
    this.groups.push(groupFd);
    this.kvm?.add(groupFd);
  }

  close(): void {
    for (const fd of this.groups.splice(0).reverse()) this.kvm?.remove(fd);
    try {
      this.type1.unmapAll();
    } catch {
      // What is mapped goes with the container.
    }
  }
}
