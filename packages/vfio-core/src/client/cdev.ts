/**
 * A VFIO device opened through its own node (/dev/vfio/devices/vfioX), without groups and containers: bound to an iommufd,
 * then attached to an address space, then used as any VfioDevice.
 */
import { EBADFD, EBUSY, EINVAL, ENOENT, EPERM, type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { VfioError } from "../error.ts";
import {
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from "../uapi-cdev.ts";
import { VfioDevice } from "./device.ts";
import { ioctlsOf } from "./ioctl.ts";
import type { Iommufd } from "./iommufd.ts";
import { attachRefused } from "./iommufd-refusals.ts";
import { groupNotViable, refused } from "./refusals.ts";
import { fullBdf, groupMembers, iommuGroupOf, requireVfioDriver } from "./sysfs.ts";

/** An address space or hardware page table, or its id. */
export type PageTable = { readonly id: number } | number;

/** `/dev/vfio/devices/vfioX` of a device. Throws VfioError NO_DEVICE, NO_IOMMU_GROUP, DEVICE_HELD, NOT_BOUND, NO_DEVICE_NODE. */
export function deviceNode(host: Host, bdf: string): string {
  const name = fullBdf(bdf);
  const found = host.readdir(`/sys/bus/pci/devices/${name}/vfio-dev`);
  const node = typeof found === "number" ? undefined : found.find((each) => /^vfio\d+$/.test(each));
  if (node !== undefined && host.exists(`/sys/bus/pci/devices/${name}/vfio-dev/${node}/dev`)) {
    return `/dev/vfio/devices/${node}`;
  }
  iommuGroupOf(host, name);
  requireVfioDriver(host, name);
  throw new VfioError(`${name} has no device node of its own`, {
    code: "NO_DEVICE_NODE",
    details: { bdf: name },
    hint: "The kernel needs CONFIG_VFIO_DEVICE_CDEV (6.6 or later; Debian has it off): use its group instead.",
  });
}

export class VfioCdev extends VfioDevice {
  readonly #owned: boolean;
  #deviceId: number | null = null;

  private constructor(host: Host, fd: number, name: string, owned: boolean) {
    super(host, fd, name);
    this.#owned = owned;
  }

  /**
   * Opens the node of a device by its PCI address. Throws VfioError as deviceNode does, PERMISSION, REFUSED.
   */
  static open(host: Host, bdf: string): VfioCdev {
    const path = deviceNode(host, bdf);
    const fd = host.open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) return new VfioCdev(host, fd, fullBdf(bdf), true);
    if (fd === -ENOENT) return missingNode(path);
    throw refused(`${path} cannot be opened`, fd, { path });
  }

  /** Wraps a descriptor of such a node that was passed in; it stays open at close(). `name` is for messages. */
  static wrap(host: Host, fd: number, name: string): VfioCdev {
    return new VfioCdev(host, fd, name, false);
  }

  /** Its id in the iommufd; null before bind. */
  get deviceId(): number | null {
    return this.#deviceId;
  }

  /**
   * VFIO_DEVICE_BIND_IOMMUFD: the device's id in the iommufd. Ends with close(). Throws VfioError GROUP_BUSY, DEVICE_BUSY,
   * GROUP_NOT_VIABLE, PERMISSION, NOT_IOMMUFD, REFUSED.
   */
  bind(iommufd: Iommufd): number {
    const struct = vfio_device_bind_iommufd;
    const arg = struct.encode({ argsz: struct.size, iommufd: iommufd.fd });
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_BIND_IOMMUFD, arg);
    if (result < 0) throw bindRefused(this.host, this.name, result);
    this.#deviceId = struct.decode(arg).out_devid;
    return this.#deviceId;
  }

  /**
   * VFIO_DEVICE_ATTACH_IOMMUFD_PT: DMA goes through this page table from now on, for the whole IOMMU group: the id of the
   * hardware page table in use. Attaching again changes it. Throws VfioError PAGE_TABLE, NO_OBJECT, IOVA_RANGE, MEMLOCK,
   * BAD_MEMORY, REFUSED.
   */
  attach(table: PageTable): number {
    const pt_id = typeof table === "number" ? table : table.id;
    const struct = vfio_device_attach_iommufd_pt;
    const arg = struct.encode({ argsz: struct.size, pt_id });
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg);
    if (result < 0) throw attachRefused(this.name, pt_id, result);
    return struct.decode(arg).pt_id;
  }

  /** VFIO_DEVICE_DETACH_IOMMUFD_PT: all DMA is refused. May be repeated. Throws VfioError REFUSED. */
  detach(): void {
    const struct = vfio_device_detach_iommufd_pt;
    const arg = struct.encode({ argsz: struct.size });
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_DETACH_IOMMUFD_PT, arg);
    if (result < 0) throw refused(`${this.name} cannot be detached`, result, { device: this.name });
  }

  override close(): void {
    if (this.#owned) super.close();
  }
}

function missingNode(path: string): never {
  throw new VfioError(`${path} does not exist, although the kernel has the device`, {
    code: "NO_DEVICE_NODE",
    errno: ENOENT,
    details: { path },
    hint: "Make the node visible here: inside a container it has to be passed in.",
  });
}

function bindRefused(host: Host, name: string, result: number): VfioError {
  const details = { device: name };
  if (result === -EBUSY) {
    return new VfioError(`${name} cannot be bound to an iommufd: its group's node is open`, {
      code: "GROUP_BUSY",
      errno: EBUSY,
      details,
      hint: "A device is used through its group or through its own node; close /dev/vfio/N first.",
    });
  }
  if (result === -EINVAL) {
    return new VfioError(`${name} cannot be bound to an iommufd: it is in use, or no IOMMU is in front of it`, {
      code: "DEVICE_BUSY",
      errno: EINVAL,
      details,
      hint: "One descriptor of a device can be bound, once; close the other one (fuser on its node tells whose it is).",
    });
  }
  if (result === -EBADFD) {
    return new VfioError(`${name} cannot be bound: the descriptor is no iommufd`, {
      code: "NOT_IOMMUFD",
      errno: EBADFD,
      details,
      hint: "Open /dev/iommu; a container of VFIO will not do.",
    });
  }
  return result === -EPERM ? notOwned(host, name) : refused(`${name} cannot be bound to an iommufd`, result, details);
}

/** EPERM: a host driver in the group, another owner, or interrupts that are not isolated. */
function notOwned(host: Host, name: string): VfioError {
  const group = groupOf(host, name);
  const held = group === null ? [] : groupMembers(host, group).filter(({ driver }) => driver && !isHarmless(driver));
  if (group !== null && held.length > 0) return groupNotViable(host, group, EPERM);
  return new VfioError(
    `${name} cannot be bound to an iommufd: its group has another owner, or its interrupts are not isolated`,
    {
      code: "PERMISSION",
      errno: EPERM,
      details: { device: name, group },
      hint: "Bind all devices of a group to one iommufd. Without interrupt remapping: iommufd.allow_unsafe_interrupts=1.",
    },
  );
}

function isHarmless(driver: string): boolean {
  return driver.includes("vfio") || driver === "pci-stub" || driver === "pcieport";
}

function groupOf(host: Host, name: string): number | null {
  try {
    return iommuGroupOf(host, name);
  } catch (error) {
    if (error instanceof VfioError) return null;
    throw error;
  }
}
