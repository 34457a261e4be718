// What a host's sysfs says of its PCI functions, and whether each could be given to a guest.
// A group can be taken when no member is held by a host driver; bridges and pci-stub do not count (vfio's rule).
// Source: Documentation/driver-api/vfio.rst, sysfs-bus-pci; class codes from the PCI Code and ID Assignment.
import type { Host } from "@minivmm/host";
import { isVfioPciDriver } from "@minivmm/pci-hotreset";
import { driverOf, groupMembers } from "@minivmm/vfio-core";

const DEVICES = "/sys/bus/pci/devices";
const HARMLESS = new Set(["pci-stub", "pcieport"]);
const CLASS_BRIDGE = 0x06;

/** `ready`: on vfio-pci in a viable group. `free`: no driver. `held`: a host driver, here or in the group. */
export type Viability = "ready" | "free" | "held" | "bridge" | "no IOMMU";

export interface PciListEntry {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  /** Base class, subclass, programming interface: 24 bits. */
  readonly classCode: number;
  readonly className: string;
  readonly driver: string | null;
  readonly group: number | null;
  readonly viability: Viability;
  /** Members of the group that stand in the way, as "address driver". */
  readonly blockedBy: readonly string[];
}

const CLASS_NAMES: Readonly<Record<number, string>> = {
  0: "device",
  255: "device",
  256: "SCSI controller",
  260: "RAID controller",
  262: "SATA controller",
  263: "SAS controller",
  264: "NVMe controller",
  512: "Ethernet controller",
  519: "InfiniBand controller",
  640: "network controller",
  768: "VGA controller",
  770: "3D controller",
  896: "display controller",
  1025: "audio device",
  1027: "HD audio",
  1280: "RAM",
  1536: "host bridge",
  1537: "ISA bridge",
  1540: "PCI bridge",
  1664: "bridge",
  1792: "serial controller",
  1920: "communication controller",
  2176: "system peripheral",
  3075: "USB controller",
  3077: "SMBus",
  4480: "signal processing",
};

const BASE_CLASS_NAMES: Readonly<Record<number, string>> = {
  1: "storage controller",
  2: "network controller",
  3: "display controller",
  4: "multimedia device",
  5: "memory controller",
  6: "bridge",
  7: "communication controller",
  8: "system peripheral",
  12: "serial bus controller",
  13: "wireless controller",
  18: "accelerator",
  255: "unassigned class",
};

const hex4 = (value: number): string => value.toString(16).padStart(4, "0");

/** A short English name of a 24-bit class code. */
export function className(classCode: number): string {
  return CLASS_NAMES[classCode >> 8] ?? BASE_CLASS_NAMES[classCode >> 16] ?? `class ${hex4(classCode >> 8)}`;
}

/** Every PCI function of the host in the order of its addresses; empty where there is no PCI. */
export function listPci(host: Host): PciListEntry[] {
  const names = host.readdir(DEVICES);
  return typeof names === "number" ? [] : [...names].sort().map((address) => entryOf(host, address));
}

function entryOf(host: Host, address: string): PciListEntry {
  const classCode = hexFile(host, `${DEVICES}/${address}/class`);
  const driver = driverOf(host, address);
  const group = groupOf(host, address);
  const holds = (held: string | null): boolean => held !== null && !HARMLESS.has(held) && !isVfioPciDriver(held);
  const blockers = group === null ? [] : groupMembers(host, group).filter((member) => holds(member.driver));
  return {
    address,
    vendor: hexFile(host, `${DEVICES}/${address}/vendor`),
    device: hexFile(host, `${DEVICES}/${address}/device`),
    classCode,
    className: className(classCode),
    driver,
    group,
    viability: viabilityOf(classCode, driver, group, blockers.length),
    blockedBy: blockers.map((member) => `${member.bdf} ${member.driver}`),
  };
}

function viabilityOf(classCode: number, driver: string | null, group: number | null, blockers: number): Viability {
  if (classCode >> 16 === CLASS_BRIDGE) return "bridge";
  if (group === null) return "no IOMMU";
  if (blockers > 0) return "held";
  return driver === null ? "free" : "ready";
}

function groupOf(host: Host, address: string): number | null {
  const target = host.readlink(`${DEVICES}/${address}/iommu_group`);
  const number = typeof target === "string" ? Number(target.slice(target.lastIndexOf("/") + 1)) : Number.NaN;
  return Number.isInteger(number) ? number : null;
}

/** A sysfs file such as "0x8086\n"; 0 when it cannot be read. */
function hexFile(host: Host, path: string): number {
  const bytes = host.readFile(path);
  const value = typeof bytes === "number" ? 0 : Number.parseInt(new TextDecoder().decode(bytes), 16);
  return Number.isNaN(value) ? 0 : value;
}
