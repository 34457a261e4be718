/**
 * What sysfs says about a PCI device before VFIO is asked: is it there, its IOMMU group, the group's members and their
 * drivers. Used to find the group, and to explain refusals.
 */
import type { Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { withoutGroup } from "./iommu-off.ts";
import { namesIn, textFile } from "./text-file.ts";

const DEVICES = "/sys/bus/pci/devices";
const GROUPS = "/sys/kernel/iommu_groups";
const CLASS_BRIDGE = 0x06;

export interface GroupMember {
  /** `0000:01:00.0` */
  readonly bdf: string;
  /** Bound driver, null for none. */
  readonly driver: string | null;
}

/** Adds the default domain: "01:00.0" becomes "0000:01:00.0". Other text is returned as it is. */
export function fullBdf(bdf: string): string {
  return /^[0-9a-f]{1,2}:[0-9a-f]{1,2}\.[0-7]$/i.test(bdf) ? `0000:${bdf}` : bdf;
}

/** Number of the IOMMU group of a device. Throws VfioError NO_DEVICE or NO_IOMMU_GROUP. */
export function iommuGroupOf(host: Host, bdf: string): number {
  const name = fullBdf(bdf);
  if (!host.exists(`${DEVICES}/${name}`)) {
    throw new VfioError(`there is no PCI device ${name} on ${host.name}`, {
      code: "NO_DEVICE",
      details: { bdf: name },
      hint: "List the devices with `lspci -D`; the address is domain:bus:device.function in hexadecimal.",
    });
  }
  const target = host.readlink(`${DEVICES}/${name}/iommu_group`);
  const group = typeof target === "string" ? Number(target.slice(target.lastIndexOf("/") + 1)) : Number.NaN;
  if (Number.isInteger(group)) return group;
  throw withoutGroup(host, name);
}

/** The node of a group: `/dev/vfio/N`, or `/dev/vfio/noiommu-N` for one that VFIO made where there is no IOMMU. */
export function groupNode(host: Host, group: number): string {
  const without = textFile(host, `${GROUPS}/${group}/name`) === "vfio-noiommu";
  return `/dev/vfio/${without ? "noiommu-" : ""}${group}`;
}

/** Nodes through which a group or its devices are used: the group's own, and those of its members that have one. */
export function nodesOfGroup(host: Host, group: number): string[] {
  return [groupNode(host, group), ...groupMembers(host, group).flatMap(({ bdf }) => deviceNodeName(host, bdf) ?? [])];
}

/** `/dev/vfio/devices/vfioX` of a device; null when it has none. */
export function deviceNodeName(host: Host, bdf: string): string | null {
  const at = `${DEVICES}/${fullBdf(bdf)}/vfio-dev`;
  const name = namesIn(host, at).find((each) => /^vfio\d+$/.test(each) && host.exists(`${at}/${each}/dev`));
  return name === undefined ? null : `/dev/vfio/devices/${name}`;
}

/** Members of a group with their drivers; empty when sysfs does not tell. */
export function groupMembers(host: Host, group: number): GroupMember[] {
  return namesIn(host, `${GROUPS}/${group}/devices`).map((bdf) => ({ bdf, driver: driverOf(host, bdf) }));
}

/** Driver that a device is bound to, null for none. */
export function driverOf(host: Host, bdf: string): string | null {
  const target = host.readlink(`${DEVICES}/${fullBdf(bdf)}/driver`);
  return typeof target === "string" ? target.slice(target.lastIndexOf("/") + 1) : null;
}

/** Bridges of every kind stay with the host. */
export function isBridge(host: Host, bdf: string): boolean {
  return Number.parseInt(textFile(host, `${DEVICES}/${fullBdf(bdf)}/class`) ?? "", 16) >> 16 === CLASS_BRIDGE;
}

/** Checks that a device is bound to a VFIO driver (vfio-pci or a variant). Throws VfioError DEVICE_HELD or NOT_BOUND. */
export function requireVfioDriver(host: Host, bdf: string): void {
  const name = fullBdf(bdf);
  const driver = driverOf(host, name);
  if (driver?.includes("vfio")) return;
  const hint = `Bind it to vfio-pci: ${bindByHand({ bdf: name, driver })}`;
  if (driver === null) {
    throw new VfioError(`${name} is bound to no driver, so VFIO cannot open it`, {
      code: "NOT_BOUND",
      details: { bdf: name },
      hint,
    });
  }
  throw new VfioError(`${name} is held by the host driver ${driver}`, {
    code: "DEVICE_HELD",
    details: { bdf: name, driver },
    hint: `Take it from the host, if the host can do without. ${hint}`,
  });
}

/** Drivers of the host that do none of its DMA (driver_managed_dma). */
const MANAGED: ReadonlySet<string> = new Set(["pci-stub", "pcieport"]);

/** Whether a driver leaves its group to user space: vfio-pci, a variant of it (mlx5_vfio_pci), or one that keeps out. */
export function leavesGroupFree(driver: string): boolean {
  return driver.includes("vfio") || MANAGED.has(driver);
}

/** Shell commands of root that bind a function to vfio-pci, whatever has it. Source: sysfs-bus-pci. */
export function bindByHand({ bdf, driver }: GroupMember): string {
  const take = driver === null ? "" : `echo ${bdf} > ${DEVICES}/${bdf}/driver/unbind; `;
  return `echo vfio-pci > ${DEVICES}/${bdf}/driver_override; ${take}echo ${bdf} > /sys/bus/pci/drivers_probe`;
}

/** The command that only takes the driver away: bridges go to no guest. */
export function unbindByHand({ bdf, driver }: GroupMember): string {
  return `echo ${bdf} > /sys/bus/pci/drivers/${driver}/unbind`;
}
