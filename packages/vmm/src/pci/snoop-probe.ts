// Whether the IOMMU in front of a group makes all its DMA snoop, asked before the group joins the container that it may share.
// A container answers for all of its groups together, so the question is put to one that has nothing else in it.
// Source: VFIO_DMA_CC_IOMMU of include/uapi/linux/vfio.h; drivers/vfio/vfio_iommu_type1.c (vfio_iommu_type1_attach_group).
// Invariants: nothing is mapped, charged, opened or reset, and all is given back; what is refused here is told by whoever takes
// the group for good.
import { type Host, MinivmmError } from "@minivmm/host";
import {
  iommuGroupOf,
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
} from "@minivmm/vfio-core";

/** `groupFd`: as in VfioSession.open. Null where the kernel does not say. */
export function groupEnforcesSnoop(host: Host, bdf: string, groupFd?: number): boolean | null {
  let container: VfioContainer | undefined;
  let group: VfioGroup | undefined;
  let joined = false;
  try {
    container = VfioContainer.open(host);
    // An iommufd that serves as the container knows once devices are open, and has page tables for each kind by itself.
    if (container.checkExtension(VFIO_DMA_CC_IOMMU) < 0) return null;
    group = VfioGroup.open(host, iommuGroupOf(host, bdf), groupFd);
    group.requireViable();
    group.setContainer(container);
    joined = true;
    for (const type of [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU]) {
      if (container.checkExtension(type) <= 0) continue;
      container.setIommu(type);
      return container.checkExtension(VFIO_DMA_CC_IOMMU) > 0;
    }
    return null;
  } catch (error) {
    if (error instanceof MinivmmError) return null;
    throw error;
  } finally {
    if (joined) leave(group as VfioGroup);
    group?.close();
    container?.close();
  }
}

function leave(group: VfioGroup): void {
  try {
    group.unsetContainer();
  } catch {
    // It leaves with its descriptor.
  }
}
