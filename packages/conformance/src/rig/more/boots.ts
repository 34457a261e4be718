// Cases of the usual machine, asked of the machine booted in another way: each way with the families that it can change.

import type { RecordedMachine } from "../../machine.ts";
import type { X86Case } from "../../x86/format.ts";
import { withoutOutcomes } from "./substitute.ts";

/**
 * Without interrupt lines that are raised on a machine that shares none: the emulated interrupt controller keeps one back
 * from the case before.
 */
const FAMILIES: Readonly<Record<string, RegExp>> = {
  aw39: /^(iommu\.info|map\.|unmap\.(whole|all|several)|container\.(two|ext\.set)|memlock\.(zero|over)|dirty\.get)/,
  nointxmask:
    /^(device\.info|irq\.(args|bad-fd|reset|reopen|matrix\.edu0\.index0)|msi\.(exclusive|fire)|config\.(line|command)|kvm\.irqfd\.vfio)/,
  nointremap:
    /^(container\.(two|set-iommu|ext|close)|group\.(get-device|set-container|three)|map\.basic|close\.|iommu\.info|kvm\.group\.with|msi\.fire)/,
  noiommu: /^(container\.|group\.|bind\.|device\.info\.(edu0|nvme0)$|kvm\.(device|group)|sriov\.|hot\.info\.edu0$)/,
};

/** `machines`: one for each way to boot that was recorded. */
export function otherBoots(cases: readonly X86Case[], machines: readonly RecordedMachine[]): X86Case[] {
  const full = machines.find(({ rig }) => rig === "full");
  if (!full) return [];
  const ways = new Map(machines.map((machine) => [machine.rig, machine]));
  if (!ways.has("noiommu")) ways.set("noiommu", withoutIommu(full));
  return [...ways].flatMap(([way, machine]) => {
    const family = FAMILIES[way];
    const chosen = cases.filter(({ machine: { rig }, name }) => rig === "full" && family?.test(name));
    return chosen.map((each) => ({ ...withoutOutcomes(each), machine, name: `${each.name}@${way}` }));
  });
}

/** There are no groups then, and vfio-pci does not take a device without one. */
function withoutIommu(full: RecordedMachine): RecordedMachine {
  const devices = full.devices.map(({ name, bdf, driver }) => {
    return { name, bdf, group: null, driver: driver === "vfio-pci" ? null : driver };
  });
  return { ...full, rig: "noiommu", devices };
}
