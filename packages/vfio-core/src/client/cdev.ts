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
import { blockingMembers, groupNotViable } from "./group-refusals.ts";
import { holdersOf, holdersRemedy, holdersText } from "./holders.ts";
import { ioctlsOf } from "./ioctl.ts";
import type { Iommufd } from "./iommufd.ts";
import { attachRefused } from "./iommufd-refusals.ts";
import { openDenied } from "./permission.ts";
import { refused } from "./refusals.ts";
import { deviceNodeName, fullBdf, groupMembers, groupNode, iommuGroupOf, requireVfioDriver } from "./sysfs.ts";

/** An address space or hardware page table, or its id. */
export type PageTable = { readonly id: number } | number;

/** `/dev/vfio/devices/vfioX` of a device. Throws VfioError NO_DEVICE, NO_IOMMU_GROUP, DEVICE_HELD, NOT_BOUND, NO_DEVICE_NODE. */
export function deviceNode(host: Host, bdf: string): string {
  const name = fullBdf(bdf);
  const node = deviceNodeName(host, name);
  if (node !== null) return node;
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
    throw openDenied(host, path, fd) ?? refused(`${path} cannot be opened`, fd, { path });
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
   * GROUP_NOT_VIABLE, UNSAFE_INTERRUPTS, NOT_IOMMUFD, REFUSED.
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
    if (result < 0) throw attachRefused(this.host, this.name, pt_id, result);
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
  const group = groupOf(host, name);
  const what = `${name} cannot be bound to an iommufd`;
  const details = { device: name, group };
  if (result === -EBUSY) {
    const path = group === null ? "its group's node" : groupNode(host, group);
    const holders = holdersOf(host, [path]);
    return new VfioError(`${what}: its group is used through its node; ${holdersText(holders, path)} (EBUSY)`, {
      code: "GROUP_BUSY",
      errno: EBUSY,
      details: { ...details, path, holders },
      hint: `A device is used through its group or through its own node. ${holdersRemedy(holders, path)}`,
    });
  }
  if (result === -EINVAL) return inUse(host, name, what, details);
  if (result === -EBADFD) {
    return new VfioError(`${what}: the descriptor is none (EBADFD)`, {
      code: "NOT_IOMMUFD",
      errno: EBADFD,
      details,
      hint: "Open /dev/iommu; a container of VFIO will not do.",
    });
  }
  return result === -EPERM ? notOwned(host, name, what, group) : refused(what, result, details);
}

/** EINVAL: one descriptor of a device can be bound, once; or no IOMMU is in front of it. */
function inUse(host: Host, name: string, what: string, details: Record<string, unknown>): VfioError {
  const path = deviceNodeName(host, name) ?? "its node";
  // Who is refused has the node open too, and perhaps twice.
  const holders = holdersOf(host, [path]).filter(({ node }) => node !== null);
  const others = holders.filter(({ self }) => !self);
  const who = others.length > 0 ? holdersText(others, path) : "it is bound already, or no IOMMU is in front of it";
  return new VfioError(`${what}: ${who} (EINVAL)`, {
    code: "DEVICE_BUSY",
    errno: EINVAL,
    details: { ...details, path, holders },
    hint: `One descriptor of a device can be bound, once. ${others.length > 0 ? holdersRemedy(others, path) : `Close the other one (fuser ${path} tells whose it is).`}`,
  });
}

/** EPERM: a host driver in the group, another owner of it, or interrupts that are not isolated. */
function notOwned(host: Host, name: string, what: string, group: number | null): VfioError {
  const members = group === null ? [] : groupMembers(host, group);
  if (group !== null && blockingMembers(members).length > 0) return groupNotViable(host, group, EPERM);
  const nodes = members.flatMap(({ bdf }) => (bdf === name ? [] : (deviceNodeName(host, bdf) ?? [])));
  const [first = ""] = nodes;
  const holders = holdersOf(host, nodes).filter(({ node }) => node !== null);
  if (holders.length > 0) {
    return new VfioError(`${what}: its group ${group} belongs to another one; ${holdersText(holders, first)} (EPERM)`, {
      code: "GROUP_BUSY",
      errno: EPERM,
      details: { device: name, group, holders },
      hint: "Bind all devices of a group to one iommufd, in one process.",
    });
  }
  return new VfioError(`${what}: its group has another owner, or its interrupts are not isolated (EPERM)`, {
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    details: { device: name, group },
    hint: "Turn interrupt remapping on, or trust every guest: echo 1 > /sys/module/iommufd/parameters/allow_unsafe_interrupts.",
  });
}

function groupOf(host: Host, name: string): number | null {
  try {
    return iommuGroupOf(host, name);
  } catch (error) {
    if (error instanceof VfioError) return null;
    throw error;
  }
}
