/**
 * Hot reset of VFIO PCI devices: ioctl numbers and structs of device descriptors.
 *
 * Source: include/uapi/linux/vfio.h. The numbers mean something else on a container descriptor.
 */
import { type Arch, struct, u8, u16, u32 } from "@minivmm/host";
import { vfioIoctl } from "@minivmm/vfio-core";

export interface HotResetIoctls {
  readonly VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: number;
  readonly VFIO_DEVICE_PCI_HOT_RESET: number;
}

export function hotResetIoctls(arch: Arch): HotResetIoctls {
  return {
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: vfioIoctl(arch, 12),
    VFIO_DEVICE_PCI_HOT_RESET: vfioIoctl(arch, 13),
  };
}

/** Entries hold iommufd device ids instead of groups. Set for devices opened through their own nodes, and only those. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1;
/** Every function that would be hit is owned by the iommufd of the device. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 2;
/** In place of an id: owned through another device of its group. */
export const VFIO_PCI_DEVID_OWNED = 0;
/** In place of an id: not owned (-1 as the unsigned number that comes back). */
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;

/** `group_id` is `devid` when the flags say so; the two share their place. */
export const vfio_pci_dependent_device = struct("vfio_pci_dependent_device", {
  group_id: u32,
  segment: u16,
  bus: u8,
  devfn: u8,
});
/** Followed by `count` vfio_pci_dependent_device. */
export const vfio_pci_hot_reset_info = struct("vfio_pci_hot_reset_info", { argsz: u32, flags: u32, count: u32 });
/** Followed by `count` s32 group descriptors; none for a device opened through its own node. */
export const vfio_pci_hot_reset = struct("vfio_pci_hot_reset", { argsz: u32, flags: u32, count: u32 });
