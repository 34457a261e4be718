// IOMMU groups of sPAPR hosts: one per partitionable endpoint (PE). On bare metal a PE is a bus; a PCIe-to-PCI bridge
// makes everything below it one PE, for its traffic carries one requester id. Under a hypervisor each PHB is one PE.
// Ports and bridges belong to no group. Source: arch/powerpc/platforms/powernv/pci-ioda.c, pseries/iommu.c.
import * as regs from "../registers.ts";
import type { PciBus, PciDomain, PciFunction } from "../topology/graph.ts";
import { IommuGroup } from "../topology/graph.ts";
import { joinGroup } from "./membership.ts";

/** Form groups of every domain; ids count up from 0 in domain and bus order. */
export function buildPeGroups(domains: readonly PciDomain[], scope: "bus" | "phb"): IommuGroup[] {
  const groups: IommuGroup[] = [];
  for (const domain of domains) {
    const byBus = new Map<PciBus, IommuGroup>();
    for (const fn of domain.root.walk()) {
      if (fn.isBridge) continue;
      const pe = scope === "phb" ? domain.root : peBus(fn);
      let group = byBus.get(pe);
      if (group === undefined) {
        group = new IommuGroup(groups.length, `domain${domain.number}-pe${pe.number.toString(16)}`);
        byBus.set(pe, group);
        groups.push(group);
      }
      fn.group = group;
      group.functions.push(fn);
    }
  }
  return groups;
}

/** A virtual function that appeared: an endpoint of its own on bare metal, part of its bridge's under a hypervisor. */
export function joinPeGroup(fn: PciFunction, groups: IommuGroup[], scope: "bus" | "phb"): void {
  const { domain } = fn.bus;
  const shared = scope === "phb" ? groups.find((each) => each.functions.some((f) => f.bus.domain === domain)) : null;
  joinGroup(fn, shared ?? null, groups, `domain${domain.number}-pe${fn.requesterId.toString(16)}`);
}

/** The bus that stands for a function's PE: its own, or that of the topmost bridge from PCI Express to PCI above it. */
function peBus(fn: PciFunction): PciBus {
  let pe = fn.bus;
  for (const bridge of fn.bus.bridges()) {
    if (bridge.pcieType === regs.PCI_EXP_TYPE_PCI_BRIDGE && bridge.secondary) pe = bridge.secondary;
  }
  return pe;
}
