/**
 * Asks what a hot reset of a device's slot or bus would hit, and does it.
 *
 * The list comes in two steps: a call with room for nothing (ENOSPC tells the count), then one with room. The reset
 * needs a descriptor of every affected group as proof of ownership. A device that was opened through its own node
 * (VfioCdev) needs none: the kernel looks who is bound to the same iommufd, and tells so in the list.
 */
import { EAGAIN, EBUSY, ENODEV, ENOSPC, ENOTTY, EPERM, errnoName, type Host } from "@minivmm/host";
import type { VfioDevice } from "@minivmm/vfio-core";
import { HotResetError } from "../error.ts";
import {
  hotResetIoctls,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "../uapi.ts";
import { DEVICES, functionFacts, linkName } from "./function-facts.ts";
import { reachObstacle } from "./obstacles.ts";
import { resetReach } from "./reach.ts";

export interface AffectedFunction {
  /** `0000:01:00.0` */
  readonly bdf: string;
  /** IOMMU group, -1 for none. */
  readonly group: number;
  /**
   * When the device that was asked was opened through its own node: the function's id in the same iommufd, 0 for one that
   * is owned through another device of its group, -1 for one that is not owned. Else absent.
   */
  readonly deviceId?: number;
}

/** A bus can grow between the two steps; more often than this it will not. */
const ATTEMPTS = 4;

/**
 * Everything that a hot reset of this device resets, itself included, in the kernel's order.
 * Throws HotResetError NO_HOT_RESET: nothing above the device can reset it (it sits on a root bus).
 */
export function hotResetInfo(device: VfioDevice): AffectedFunction[] {
  const request = hotResetIoctls(device.host.arch).VFIO_DEVICE_GET_PCI_HOT_RESET_INFO;
  let room = 0;
  for (let attempt = 0; ; attempt++) {
    const argsz = vfio_pci_hot_reset_info.size + room * vfio_pci_dependent_device.size;
    const arg = vfio_pci_hot_reset_info.encode({ argsz }, new Uint8Array(argsz));
    const result = device.host.ioctl(device.fd, request, arg);
    const { count, flags } = vfio_pci_hot_reset_info.decode(arg);
    if (result >= 0) return Array.from({ length: count }, (_, i) => affected(device.host, arg, i, flags));
    if (result !== -ENOSPC || attempt === ATTEMPTS) throw noInfo(device, result);
    room = count;
  }
}

/**
 * Resets the slot or bus of the device. `groupFds` are descriptors of the groups of everything affected; none for a
 * device that was opened through its own node.
 * Throws HotResetError NO_HOT_RESET, NOT_OWNED, REFUSED.
 */
export function hotReset(device: VfioDevice, groupFds: readonly number[]): void {
  const argsz = vfio_pci_hot_reset.size + 4 * groupFds.length;
  const arg = vfio_pci_hot_reset.encode({ argsz, count: groupFds.length }, new Uint8Array(argsz));
  arg.set(new Uint8Array(new Int32Array(groupFds).buffer), vfio_pci_hot_reset.size);
  const request = hotResetIoctls(device.host.arch).VFIO_DEVICE_PCI_HOT_RESET;
  const result = device.host.ioctl(device.fd, request, arg);
  if (result < 0) throw notReset(device, result, groupFds.length);
}

function affected(host: Host, arg: Uint8Array, i: number, flags: number): AffectedFunction {
  const at = vfio_pci_hot_reset_info.size + i * vfio_pci_dependent_device.size;
  const { group_id, segment, bus, devfn } = vfio_pci_dependent_device.decode(arg, at);
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const bdf = `${hex(segment, 4)}:${hex(bus, 2)}:${hex(devfn >> 3, 2)}.${devfn & 7}`;
  if ((flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID) === 0) return { bdf, group: group_id };
  return { bdf, group: groupInSysfs(host, bdf), deviceId: group_id | 0 };
}

function groupInSysfs(host: Host, bdf: string): number {
  const name = linkName(host, `${DEVICES}/${bdf}/iommu_group`);
  return name === null ? -1 : Number(name);
}

function noInfo(device: VfioDevice, result: number): HotResetError {
  if (result === -ENODEV) return impossible(device);
  return new HotResetError(`what a hot reset of ${device.name} affects is not known: ${errnoName(-result)}`, {
    code: "REFUSED",
    errno: -result,
    details: { device: device.name },
    hint: result === -EPERM ? "A function that would be hit is in no IOMMU group, so nobody can own it." : undefined,
  });
}

function impossible({ host, name }: VfioDevice): HotResetError {
  const known = host.exists(`${DEVICES}/${name}`);
  const obstacle = known ? reachObstacle(resetReach(host, name), functionFacts(host, name)) : null;
  const why = obstacle?.message ?? "no bridge above it can reset its bus or slot";
  const remedy = obstacle?.remedy ?? "use its function-level reset";
  return new HotResetError(`${name} cannot be hot reset: ${why}`, {
    code: "NO_HOT_RESET",
    errno: ENODEV,
    details: { device: name, reason: obstacle?.code ?? null },
    hint: `${remedy.charAt(0).toUpperCase()}${remedy.slice(1)}.`,
  });
}

const AGAIN =
  "Somebody is busy with a function that would be hit (a bind, a reset, an access); nothing was done: try again.";

/** What to do about a reset that was refused, by errno. */
const HINTS: ReadonlyMap<number, string> = new Map([
  [EAGAIN, AGAIN],
  [EBUSY, AGAIN],
  [ENOTTY, "Its configuration was written back all the same; reset once more, or remove and rescan the bridge above."],
]);
const OWNERSHIP =
  "Every function that is affected must be bound to vfio-pci and its group handed over; planHotReset tells which.";

function notReset(device: VfioDevice, result: number, groups: number): HotResetError {
  const details = { device: device.name, groups };
  if (result === -ENODEV) return impossible(device);
  const why =
    result === -ENOTTY
      ? "the bus was reset, but a function did not come back"
      : `the kernel says ${errnoName(-result)}`;
  const withWhat = groups === 0 ? "" : ` with ${groups} group(s)`;
  return new HotResetError(`${device.name} was not hot reset${withWhat}: ${why}`, {
    code: "REFUSED",
    errno: -result,
    details,
    hint: HINTS.get(-result) ?? OWNERSHIP,
  });
}
