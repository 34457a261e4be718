/**
 * Device sets: the vfio-pci devices that a bus or slot reset hits together (`struct vfio_device_set`).
 *
 * A function on a root bus and a virtual function are sets of their own; otherwise the slot, where a hotplug driver can reset it, or the bus.
 * Only bound devices are members. Source: vfio_pci_core_register_device, vfio_pci_dev_set_resettable, _try_reset.
 */
import { affectedFunctions, busResetScope, type PciFunction, resetBusOf } from "@minivmm/pci";
import type { VfioPciDevice } from "./device.ts";

/** Functions of one set have equal keys. */
export function deviceSetKey(fn: PciFunction): PciFunction | string {
  if (fn.bus.isRoot || fn.physfn) return fn;
  const bus = `${fn.bus.domain.number}:${fn.bus.number}`;
  return busResetScope(fn) === "slot" ? `${bus}:${fn.devfn >> 3}` : bus;
}

/** Members of the device's set among `devices`, in bind order. */
export function deviceSet(device: VfioPciDevice, devices: Iterable<VfioPciDevice>): VfioPciDevice[] {
  const key = deviceSetKey(device.fn);
  return [...devices].filter((each) => deviceSetKey(each.fn) === key);
}

/** Can the set be reset as one: there is a slot or bus reset, and whatever it hits is a member? */
export function isResettable(set: readonly VfioPciDevice[]): boolean {
  const first = set[0]?.fn;
  const scope = first ? busResetScope(first) : null;
  if (!first || !scope) return false;
  const members = new Set(set.map((each) => each.fn));
  return [...affectedFunctions(first, scope)].every((fn) => members.has(fn));
}

/** The last close: reset the set when something in it still needs that and nobody else uses it. */
export function tryResetSet(set: readonly VfioPciDevice[]): void {
  const inUse = set.some((each) => each.openCount > 0);
  const first = set[0];
  if (!first || inUse || !set.some((each) => each.needsReset) || !isResettable(set)) return;
  if (resetBusOf(first.fn) !== 0) return;
  for (const each of set) each.needsReset = false;
}
