/**
 * What a device's own node (/dev/vfio/devices/vfioX) adds: BIND_IOMMUFD, ATTACH_IOMMUFD_PT, DETACH_IOMMUFD_PT.
 *
 * A file of the node can do nothing before it is bound to an iommufd; it stays bound until it is closed. One device is
 * bound by one file, and while it is, its group's node cannot be opened, and the other way round.
 * The order of checks is the kernel's: drivers/vfio/device_cdev.c.
 */
import { EBADF, EBADFD, EBUSY, EINVAL } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import {
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from "../uapi-cdev.ts";
import type { VfioPciDevice } from "./device.ts";
import type { KvmReference } from "./group.ts";
import { iommufdOf } from "./iommufd/index.ts";

/** A device file as far as binding goes. */
export interface BindableFile {
  readonly device: VfioPciDevice;
  /** Opened through the device's node, not through its group. */
  readonly byNode: boolean;
  /** The user may use the device. */
  granted: boolean;
  readonly kvm: KvmReference | null;
}

export function bindIommufd(file: BindableFile, call: IoctlCall): number {
  const struct = vfio_device_bind_iommufd;
  const value = struct.decode(call.arg.copyIn(struct.size));
  if (value.argsz < struct.size || value.flags !== 0 || value.iommufd < 0 || !file.byNode) return -EINVAL;
  const { group } = file.device;
  if (group.opened) return -EBUSY;
  if (file.granted) return -EINVAL;
  const iommufd = call.process.fileOf(value.iommufd);
  if (!iommufd) return -EBADF;
  if (!iommufdOf(iommufd)) return -EBADFD;
  file.device.openAlone(iommufd, file.kvm);
  try {
    const out_devid = file.device.iommufd?.id ?? 0;
    const at = struct.offsets.out_devid;
    call.arg.copyOut(struct.encode({ ...value, out_devid }).subarray(at), at);
  } catch (error) {
    file.device.close();
    throw error;
  }
  group.boundByNode++;
  file.granted = true;
  return 0;
}

/** The file is closed. */
export function unbindIommufd(file: BindableFile): void {
  if (!file.granted) return;
  file.granted = false;
  file.device.close();
  file.device.group.boundByNode--;
}

export function attachPageTable({ device }: BindableFile, { arg }: IoctlCall): number {
  const struct = vfio_device_attach_iommufd_pt;
  const value = struct.decode(arg.copyIn(struct.size));
  if (value.argsz < struct.size || value.flags !== 0 || !device.iommufd) return -EINVAL;
  const pt_id = device.iommufd.attach(value.pt_id);
  try {
    arg.copyOut(struct.encode({ ...value, pt_id }).subarray(struct.offsets.pt_id), struct.offsets.pt_id);
  } catch (error) {
    device.iommufd.detach();
    throw error;
  }
  return 0;
}

export function detachPageTable({ device }: BindableFile, { arg }: IoctlCall): number {
  const struct = vfio_device_detach_iommufd_pt;
  const { argsz, flags } = struct.decode(arg.copyIn(struct.size));
  if (argsz < struct.size || flags !== 0) return -EINVAL;
  device.iommufd?.detach();
  return 0;
}
