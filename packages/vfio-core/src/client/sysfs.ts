/**
 * What sysfs says about a PCI device before VFIO is asked: is it there, its IOMMU group, the group's members and their
 * drivers. Used to find the group, and to explain refusals.
 */
import type { Host } from "@minivmm/host";
import { VfioError } from "../error.ts";

const DEVICES = "/sys/bus/pci/devices";

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
  throw new VfioError(`${name} is in no IOMMU group, so nothing would confine its DMA`, {
    code: "NO_IOMMU_GROUP",
    details: { bdf: name },
    hint: "Enable the IOMMU in the firmware and in the kernel (on Intel machines: intel_iommu=on), then reboot.",
  });
}

/** The node of a group: `/dev/vfio/N`, or `/dev/vfio/noiommu-N` for one that VFIO made where there is no IOMMU. */
export function groupNode(host: Host, group: number): string {
  const name = host.readFile(`/sys/kernel/iommu_groups/${group}/name`);
  const without = typeof name !== "number" && new TextDecoder().decode(name).trim() === "vfio-noiommu";
  return `/dev/vfio/${without ? "noiommu-" : ""}${group}`;
}

/** Members of a group with their drivers; empty when sysfs does not tell. */
export function groupMembers(host: Host, group: number): GroupMember[] {
  const names = host.readdir(`/sys/kernel/iommu_groups/${group}/devices`);
  if (typeof names === "number") return [];
  return names.map((bdf) => ({ bdf, driver: driverOf(host, bdf) }));
}

/** Driver that a device is bound to, null for none. */
export function driverOf(host: Host, bdf: string): string | null {
  const target = host.readlink(`${DEVICES}/${fullBdf(bdf)}/driver`);
  return typeof target === "string" ? target.slice(target.lastIndexOf("/") + 1) : null;
}

/** Checks that a device is bound to a VFIO driver (vfio-pci or a variant). Throws VfioError DEVICE_HELD or NOT_BOUND. */
export function requireVfioDriver(host: Host, bdf: string): void {
  const name = fullBdf(bdf);
  const driver = driverOf(host, name);
  if (driver?.includes("vfio")) return;
  const give = `echo vfio-pci > ${DEVICES}/${name}/driver_override; echo ${name} > /sys/bus/pci/drivers_probe`;
  if (driver === null) {
    throw new VfioError(`${name} is bound to no driver, so VFIO cannot open it`, {
      code: "NOT_BOUND",
      details: { bdf: name },
      hint: `Bind it to vfio-pci: ${give}`,
    });
  }
  throw new VfioError(`${name} is held by the host driver ${driver}`, {
    code: "DEVICE_HELD",
    details: { bdf: name, driver },
    hint: `Take it from the host, then bind it to vfio-pci: echo ${name} > ${DEVICES}/${name}/driver/unbind; ${give}`,
  });
}
