// pci_device_group() of drivers/iommu/iommu.c: which functions an IOMMU that tells requester ids apart can isolate.
// Functions are taken in the order the kernel adds them; the order decides numbers, not the partition.
import * as regs from "../registers.ts";
import type { IommuGroup, PciFunction } from "../topology/graph.ts";
import { acsEnabled, acsPathEnabled } from "./acs.ts";
import { joinGroup } from "./membership.ts";

/** Form groups for all functions; ids count up from 0. */
export function buildAcsGroups(functions: readonly PciFunction[]): IommuGroup[] {
  const groups: IommuGroup[] = [];
  for (const fn of functions) joinGroup(fn, existingGroup(fn), groups);
  return groups;
}

/** Put a function that appeared later into its group, which may be a new one of `groups`. */
export function joinAcsGroup(fn: PciFunction, groups: IommuGroup[]): void {
  joinGroup(fn, existingGroup(fn), groups);
}

/** The group that this function must join, null when it may have its own. */
function existingGroup(fn: PciFunction): IommuGroup | null {
  const aliased = walkAliases(fn);
  if (aliased.group) return aliased.group;
  const climbed = climb(aliased.last);
  if (climbed.group) return climbed.group;
  return slotGroup(climbed.last);
}

interface Step {
  readonly group: IommuGroup | null;
  readonly last: PciFunction;
}

/** Step 1: bridges that put their own requester id on what passes through them make everybody behind them one. */
function walkAliases(fn: PciFunction): Step {
  let last = fn;
  if (fn.group) return { group: fn.group, last };
  for (const bridge of fn.bus.bridges()) {
    switch (bridge.pcieType) {
      case regs.PCI_EXP_TYPE_ROOT_PORT:
      case regs.PCI_EXP_TYPE_UPSTREAM:
      case regs.PCI_EXP_TYPE_DOWNSTREAM:
        continue;
      default:
        last = bridge;
        if (bridge.group) return { group: bridge.group, last };
    }
  }
  return { group: null, last };
}

/** Step 2: climb while the path above does not enforce isolation; the first bridge that has a group takes us in. */
function climb(from: PciFunction): Step {
  let last = from;
  for (const bridge of from.bus.bridges()) {
    if (acsPathEnabled(bridge)) break;
    last = bridge;
    if (bridge.group) return { group: bridge.group, last };
  }
  return { group: null, last };
}

/** Step 4: functions of one slot that can reach each other share a group. */
function slotGroup(fn: PciFunction): IommuGroup | null {
  if (!fn.multifunction || acsEnabled(fn)) return null;
  for (const other of fn.bus.functions) {
    if (other === fn || other.devfn >> 3 !== fn.devfn >> 3 || acsEnabled(other)) continue;
    if (other.group) return other.group;
  }
  return null;
}
