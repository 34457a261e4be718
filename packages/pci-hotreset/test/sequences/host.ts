// A host for sequences of hot resets: a slot of five functions in three groups, one function behind a port of its own, a
// function on the root bus that nothing can hot reset, and a conventional bus with a function beside a bridge.
import { ManualClock, ModelKernel } from "@minivmm/host/model";
import { type FunctionDescription, PciTopology } from "@minivmm/pci";
import { edu, type PassiveOptions, passive } from "@minivmm/pci/devices";
import { VfioCore } from "@minivmm/vfio-core/model";
import type { Kernel } from "../../../vfio-core/test/sequences/calls.ts";
import type { SequenceHost } from "../../../vfio-core/test/sequences/modelled.ts";
import type { Facts } from "../../../vfio-core/test/sequences/property.ts";
import { registerHotReset } from "../../src/model/index.ts";

export const ROOT = "0000:00:01.0";
export const SLOT = ["0000:01:00.0", "0000:01:00.1", "0000:01:00.2", "0000:01:00.3", "0000:01:00.4"];
export const ALONE = "0000:02:00.0";
export const BESIDE_BRIDGE = "0000:04:01.0";

const bars: NonNullable<PassiveOptions["bars"]> = [{ index: 0, type: "mem32", size: 0x4000 }];

/** Functions of 8086:10c9 are isolated from each other, others of a slot share a group. */
function member(at: string, device: number, more: Partial<PassiveOptions> = {}): FunctionDescription {
  const made = passive({ vendor: 0x8086, device, classCode: 0x020000, express: {}, bars, ...more });
  return { at, device: made, multifunction: true, driver: "vfio-pci" };
}

const devices = (): FunctionDescription[] => [
  { at: "01.0", device: edu(), driver: "vfio-pci" },
  {
    at: "02.0",
    bridge: "root-port",
    driver: "pcieport",
    children: [
      member("00.0", 0x10c9, { express: { flr: true }, pm: {} }),
      member("00.1", 0x10c9),
      member("00.2", 0x10d3, { pm: {} }),
      member("00.3", 0x10d3),
      member("00.4", 0x10d3),
    ],
  },
  {
    at: "03.0",
    bridge: "root-port",
    driver: "pcieport",
    children: [{ ...member("00.0", 0x10d3), multifunction: false }],
  },
  {
    at: "04.0",
    bridge: "root-port",
    driver: "pcieport",
    children: [
      {
        at: "00.0",
        bridge: "pcie-pci-bridge",
        children: [
          { at: "01.0", device: edu(), driver: "vfio-pci" },
          { at: "02.0", bridge: "pci-bridge", children: [{ at: "00.0", device: edu(), driver: "vfio-pci" }] },
        ],
      },
    ],
  },
];

export function sequenceHost(profile: Kernel): SequenceHost {
  const clock = new ManualClock();
  const kernel = new ModelKernel({ profile, clock });
  const topology = PciTopology.fromDescription({ barAlignment: kernel.pageSize, domains: [{ devices: devices() }] });
  for (const fn of topology.functions) kernel.sysfs.dir(`/sys/bus/pci/devices/${fn.name}`);
  const core = new VfioCore(kernel, topology);
  registerHotReset(core);
  return { kernel, topology, core, clock };
}

/** What a function of the slot is by itself. */
const PLAIN: Facts = { irqs: [0, 0, 0, 1, 1], pages: { 0: 4 }, resets: false };
const EDU: Facts = { irqs: [1, 1, 0, 0, 1], pages: { 0: 256 }, resets: false };
const FACTS: Readonly<Record<string, Facts>> = {
  [ROOT]: EDU,
  // FLR, power management, or its bus for itself.
  [SLOT[0] as string]: { ...PLAIN, resets: true },
  [SLOT[2] as string]: { ...PLAIN, resets: true },
  [ALONE]: { ...PLAIN, resets: true },
  [BESIDE_BRIDGE]: EDU,
};

export function factsOf(bdf: string): Facts {
  return FACTS[bdf] ?? (bdf.startsWith("0000:01") ? PLAIN : { ...EDU, resets: true });
}
