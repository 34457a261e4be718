// Resetting everything behind a bridge with configurations kept (pci_reset_bus, pci_probe_reset_slot/bus).
// A slot with a hotplug driver is preferred to its bus; on a PCI Express link both reset the same functions.
// Order: lock all or nothing, save and disable every function, reset, look whether the first one answers, restore with
// bridges before their children.
import { EAGAIN, ENOTTY } from "@minivmm/host";
import type { PciBus, PciFunction } from "../topology/graph.ts";
import { saveAndDisable } from "./function-reset.ts";
import { secondaryBusReset } from "./hardware.ts";
import { noBusReset } from "./quirks.ts";
import { restoreConfig } from "./saved-config.ts";

export type BusResetScope = "slot" | "bus";

/** How this function's neighbourhood can be reset: its slot, its bus, or not at all (root bus, quirk). */
export function busResetScope(fn: PciFunction): BusResetScope | null {
  const bridge = fn.bus.bridge;
  if (bridge === null || noBusReset(bridge)) return null;
  const slot = [...affectedFunctions(fn, "slot")];
  if (fn.hotplugSlot && !slot.some(noBusReset)) return "slot";
  return [...fn.bus.walk()].some(noBusReset) ? null : "bus";
}

/** Functions that a reset hits, in the kernel's walking order. */
export function* affectedFunctions(fn: PciFunction, scope: BusResetScope): Generator<PciFunction> {
  for (const each of fn.bus.functions) {
    if (scope === "slot" && each.devfn >> 3 !== fn.devfn >> 3) continue;
    yield each;
    if (each.secondary) yield* each.secondary.walk();
  }
}

/**
 * Reset the slot or bus of a function. 0; -ENOTTY when it cannot be reset or a function does not come back (the restore
 * is tried all the same); -EAGAIN when a lock is held, and then nothing was touched.
 */
export function resetBusOf(fn: PciFunction): number {
  const scope = busResetScope(fn);
  if (scope === null) return -ENOTTY;
  return resetBus(fn.bus, [...affectedFunctions(fn, scope)]);
}

function resetBus(bus: PciBus, affected: readonly PciFunction[]): number {
  const bridge = bus.bridge!;
  const locks = [bridge, ...affected];
  if (locks.some((each) => each.locked)) return -EAGAIN;
  for (const each of locks) each.locked = true;
  try {
    const saved = affected.map(saveAndDisable);
    secondaryBusReset(bridge);
    const back = affected[0]?.responding ?? true;
    affected.forEach((each, index) => {
      restoreConfig(each, saved[index]!);
    });
    return back ? 0 : -ENOTTY;
  } finally {
    for (const each of locks) each.locked = false;
  }
}
