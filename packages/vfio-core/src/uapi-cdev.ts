/**
 * What VFIO device nodes (/dev/vfio/devices/vfioX) have beyond devices of a group: binding to an iommufd, attaching to a
 * page table. Source: include/uapi/linux/vfio.h (6.12). Their ioctl numbers stand with the others in uapi.ts.
 */
import { s32, struct, u32 } from "@minivmm/host";

export const vfio_device_bind_iommufd = struct("vfio_device_bind_iommufd", {
  argsz: u32,
  flags: u32,
  iommufd: s32,
  out_devid: u32,
});
/** `pt_id`: an IOAS or a hardware page table; comes back as the hardware page table that is used. */
export const vfio_device_attach_iommufd_pt = struct("vfio_device_attach_iommufd_pt", {
  argsz: u32,
  flags: u32,
  pt_id: u32,
});
export const vfio_device_detach_iommufd_pt = struct("vfio_device_detach_iommufd_pt", { argsz: u32, flags: u32 });
