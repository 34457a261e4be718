/**
 * What the first open of a device takes and the last close gives back: a user count of the group's container together
 * with a reference on the group's file, or a bond with an iommufd. An iommufd does not keep the group's file open.
 * Source: vfio_df_device_first_open, vfio_group_use_container, vfio_df_iommufd_bind.
 */
import { EINVAL, EPERM } from "@minivmm/host";
import { KernelError, type ModelProcess, type OpenFile } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { VfioGroup } from "./group.ts";
import { type IommufdDevice, iommufdDeviceOf } from "./iommufd/index.ts";

export interface DmaUse {
  /** The device's object in its iommufd, if it is bound to one. */
  readonly iommufd: IommufdDevice | null;
  release(): void;
}

/** Throws KernelError EINVAL (no IOMMU type yet), EPERM (no IOMMU, and no right to go without). */
export function useContainer(group: VfioGroup, process: ModelProcess): DmaUse {
  if (!group.container?.instance) throw new KernelError(EINVAL, `the container of group ${group.id} has no IOMMU`);
  if (group.type === "noiommu" && !process.has("SYS_RAWIO")) throw new KernelError(EPERM);
  group.containerUsers++;
  const file = group.openedFile?.get();
  return {
    iommufd: null,
    release() {
      group.putUser();
      file?.put();
    },
  };
}

/** Throws KernelError as binding fails. `iommufd` is its file; a reference is held until release. */
export function useIommufd(fn: PciFunction, iommufd: OpenFile): DmaUse {
  const device = iommufdDeviceOf(iommufd, fn);
  const file = iommufd.get();
  return {
    iommufd: device,
    release() {
      device.unbind();
      file.put();
    },
  };
}

/** A device without an IOMMU in a group whose "container" is an iommufd: nothing is bound. Throws KernelError EPERM. */
export function useWithoutIommu(process: ModelProcess, hasCompatIoas: boolean): DmaUse {
  if (!process.has("SYS_RAWIO") || hasCompatIoas) throw new KernelError(EPERM);
  return { iommufd: null, release: () => undefined };
}
