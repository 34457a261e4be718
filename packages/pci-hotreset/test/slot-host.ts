// A modelled host for planning resets: an edu on the root bus, a three-function card whose functions share a group, a
// two-function card with a group for each, a slot with a hotplug driver, a function that no bus reset brings back, and a
// conventional bus that holds a function beside another bridge. sysfs as planning reads it.
import { type KernelProfile, ModelKernel } from "@minivmm/host/model";
import { type FunctionDescription, type PciFunction, PciTopology } from "@minivmm/pci";
import { edu, type PassiveOptions, passive } from "@minivmm/pci/devices";
import { VfioCore, type VfioCoreOptions } from "@minivmm/vfio-core/model";
import { FlatIommu } from "../../vfio-core/test/fixture.ts";
import { registerHotReset } from "../src/model/index.ts";

export const ROOT = "0000:00:01.0";
export const CARD = ["0000:01:00.0", "0000:01:00.1", "0000:01:00.2"] as const;
export const PORTS = ["0000:02:00.0", "0000:02:00.1"] as const;
export const HOTPLUG = "0000:03:00.0";
export const FRAGILE = "0000:04:00.0";
export const BESIDE_BRIDGE = "0000:06:01.0";
export const INNER_BRIDGE = "0000:06:02.0";
export const BELOW_BRIDGE = "0000:07:00.0";

const bars: NonNullable<PassiveOptions["bars"]> = [{ index: 0, type: "mem32", size: 0x1000 }];
const card = (more: Partial<PassiveOptions> = {}) =>
  passive({ vendor: 0x8086, device: 0x10d3, classCode: 0x020000, express: {}, bars, ...more });

function port(at: string, children: FunctionDescription[], hotplug = false): FunctionDescription {
  return { at, bridge: "root-port", driver: "pcieport", hotplug, children };
}

const devices = (): FunctionDescription[] => [
  { at: "01.0", device: edu(), driver: "vfio-pci" },
  port("02.0", [
    { at: "00.0", device: card({ express: { flr: true }, pm: {} }), multifunction: true, driver: "vfio-pci" },
    { at: "00.1", device: card({ pm: {} }), multifunction: true, driver: "vfio-pci" },
    { at: "00.2", device: card(), multifunction: true, driver: "vfio-pci" },
  ]),
  port("03.0", [
    { at: "00.0", device: card({ device: 0x10c9 }), multifunction: true, driver: "vfio-pci" },
    { at: "00.1", device: card({ device: 0x10c9 }), multifunction: true, driver: "vfio-pci" },
  ]),
  port("04.0", [{ at: "00.0", device: card(), driver: "vfio-pci" }], true),
  port("05.0", [{ at: "00.0", device: card({ vendor: 0x168c, device: 0x0030 }), driver: "vfio-pci" }]),
  port("06.0", [
    {
      at: "00.0",
      bridge: "pcie-pci-bridge",
      children: [
        { at: "01.0", device: edu(), driver: "vfio-pci" },
        { at: "02.0", bridge: "pci-bridge", children: [{ at: "00.0", device: edu(), driver: "vfio-pci" }] },
      ],
    },
  ]),
];

export function slotHost(options: { profile?: KernelProfile; vfio?: VfioCoreOptions } = {}) {
  const kernel = new ModelKernel(options.profile === undefined ? {} : { profile: options.profile });
  const topology = PciTopology.fromDescription({ barAlignment: kernel.pageSize, domains: [{ devices: devices() }] });
  for (const fn of topology.functions) publish(kernel, fn);
  const core = new VfioCore(kernel, topology, options.vfio);
  core.registerIommuDriver(new FlatIommu(kernel));
  registerHotReset(core);
  return { kernel, topology, core, process: kernel.spawn() };
}

export type SlotHost = ReturnType<typeof slotHost>;

function publish({ sysfs }: ModelKernel, fn: PciFunction): void {
  const at = `/sys/bus/pci/devices/${fn.name}`;
  const number = (name: string, value: () => number) =>
    sysfs.file(`${at}/${name}`, { read: () => `0x${value().toString(16)}\n` });
  const { vendor, device } = { vendor: fn.readConfig(0, 2), device: fn.readConfig(2, 2) };
  number("vendor", () => vendor);
  number("device", () => device);
  number("class", () => fn.readConfig(8, 4) >>> 8);
  sysfs.file(`${at}/config`, { read: () => Uint8Array.from({ length: 256 }, (_, i) => fn.readConfig(i, 1)) });
  if (fn.resetMethods.length > 0) sysfs.file(`${at}/reset_method`, { read: () => `${fn.resetMethods.join(" ")}\n` });
  if (fn.hotplugSlot) sysfs.dir(`/sys/bus/pci_express/drivers/pciehp/${fn.bus.bridge?.name}:pcie004`);
  if (!fn.group) return;
  const group = `/sys/kernel/iommu_groups/${fn.group.id}`;
  sysfs.link(`${at}/iommu_group`, group);
  sysfs.link(`${group}/devices/${fn.name}`, at);
}

export function groupOf(host: SlotHost, bdf: string): number {
  return host.topology.get(bdf).group?.id ?? -1;
}

/** Descriptors that a process has open. */
export function openDescriptors(process: SlotHost["process"]): number {
  return Array.from({ length: 64 }, (_, fd) => process.fileOf(fd)).filter((file) => file !== undefined).length;
}
