// What user space finds about PCI under /sys: one folder for each function and for each IOMMU group.
// Source: Documentation/ABI/testing/sysfs-bus-pci, sysfs-kernel-iommu_groups. Driver links, bind and driver_override
// are the driver model's.
import { EINVAL } from "@minivmm/host";
import type { ModelKernel } from "@minivmm/host/model";
import {
  type IommuGroup,
  PCI_CLASS_REVISION,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_SUBSYSTEM_VENDOR_ID,
  type PciFunction,
  type PciTopology,
  resetFunction,
  setResetMethods,
} from "@minivmm/pci";
import { resourceTable } from "./sysfs-resources.ts";

const DEVICES = "/sys/bus/pci/devices";
const GROUPS = "/sys/kernel/iommu_groups";
const SLOTS = "/sys/bus/pci/slots";

export function publishPci(kernel: ModelKernel, topology: PciTopology): void {
  for (const fn of topology.functions) publishFunction(kernel, fn);
  publishSlots(kernel, topology);
  kernel.sysfs.dir(GROUPS);
  for (const fn of topology.functions) publishMember(kernel, fn);
  topology.watch({
    added(fn) {
      publishFunction(kernel, fn);
      publishMember(kernel, fn);
    },
    removed(fn) {
      kernel.sysfs.remove(`${DEVICES}/${fn.name}`);
      const { group } = fn;
      if (group) kernel.sysfs.remove(group.functions.length > 1 ? memberOf(group, fn) : `${GROUPS}/${group.id}`);
    },
  });
}

const memberOf = (group: IommuGroup, fn: PciFunction): string => `${GROUPS}/${group.id}/devices/${fn.name}`;

function publishMember({ sysfs }: ModelKernel, fn: PciFunction): void {
  const { group } = fn;
  if (!group) return;
  sysfs.link(memberOf(group, fn), `${DEVICES}/${fn.name}`);
  if (group.name !== null) sysfs.file(`${GROUPS}/${group.id}/name`, { read: () => `${group.name}\n` });
}

function publishFunction(kernel: ModelKernel, fn: PciFunction): void {
  const at = `${DEVICES}/${fn.name}`;
  const { sysfs } = kernel;
  sysfs.dir(at);
  const number = (name: string, value: () => number, digits: number): void =>
    sysfs.file(`${at}/${name}`, { read: () => `0x${value().toString(16).padStart(digits, "0")}\n` });
  number("vendor", () => fn.vendorId, 4);
  number("device", () => fn.deviceId, 4);
  number("class", () => fn.readConfig(PCI_CLASS_REVISION, 4) >>> 8, 6);
  number("revision", () => fn.readConfig(PCI_CLASS_REVISION, 1), 2);
  if (!fn.isBridge) {
    number("subsystem_vendor", () => fn.readConfig(PCI_SUBSYSTEM_VENDOR_ID, 2), 4);
    number("subsystem_device", () => fn.readConfig(PCI_SUBSYSTEM_VENDOR_ID + 2, 2), 4);
  }
  sysfs.file(`${at}/irq`, { read: () => `${fn.irq}\n` });
  sysfs.file(`${at}/resource`, { read: () => resourceTable(fn) });
  sysfs.file(`${at}/config`, {
    read: () => Uint8Array.from({ length: fn.config.bytes.length }, (_, i) => fn.readConfig(i, 1)),
    pread: (into, offset) => readConfig(fn, into, offset),
    pwrite: (from, offset) => writeConfig(fn, from, offset),
  });
  if (fn.group) sysfs.link(`${at}/iommu_group`, `${GROUPS}/${fn.group.id}`);
  if (fn.resetMethods.length > 0) publishReset(kernel, fn);
}

/** Only functions that had a way to be reset when they were found have these files (pci_dev_reset_attr_is_visible). */
function publishReset(kernel: ModelKernel, fn: PciFunction): void {
  const at = `${DEVICES}/${fn.name}`;
  kernel.sysfs.file(`${at}/reset`, { write: (text) => (text.trim() === "1" ? resetFunction(fn) : -EINVAL) });
  if (kernel.profile !== "6.12" && kernel.profile !== "6.1") return;
  kernel.sysfs.file(`${at}/reset_method`, {
    read: () => `${fn.resetMethods.join(" ")}\n`,
    write: (text) => setResetMethods(fn, text),
  });
}

/** One slot for each port that pciehp serves, and the port's hotplug service bound to it. */
function publishSlots({ sysfs }: ModelKernel, topology: PciTopology): void {
  const ports = new Set(topology.functions.filter((fn) => fn.hotplugSlot).map((fn) => fn.bus.bridge as PciFunction));
  [...ports].forEach((port, index) => {
    const place = `${port.name.slice(0, 5)}${(port.secondary?.number ?? 0).toString(16).padStart(2, "0")}:00`;
    sysfs.file(`${SLOTS}/${index}/address`, { read: () => `${place}\n` });
    const downstream = port.pcieType === PCI_EXP_TYPE_DOWNSTREAM;
    sysfs.dir(`/sys/bus/pci_express/drivers/pciehp/${port.name}:pcie${downstream ? "2" : "0"}04`);
  });
}

function readConfig(fn: PciFunction, into: Uint8Array, offset: number): number {
  const count = Math.max(0, Math.min(into.length, fn.config.bytes.length - offset));
  for (let i = 0; i < count; i++) into[i] = fn.readConfig(offset + i, 1);
  return count;
}

/** In natural pieces: some registers take effect only when they are written as a whole. */
function writeConfig(fn: PciFunction, from: Uint8Array, offset: number): number {
  const count = Math.max(0, Math.min(from.length, fn.config.bytes.length - offset));
  for (let i = 0; i < count; ) {
    const at = offset + i;
    const size = at % 4 === 0 && count - i >= 4 ? 4 : at % 2 === 0 && count - i >= 2 ? 2 : 1;
    let value = 0;
    for (let byte = size - 1; byte >= 0; byte--) value = ((value << 8) | (from[i + byte] as number)) >>> 0;
    fn.writeConfig(at, size, value);
    i += size;
  }
  return count;
}
