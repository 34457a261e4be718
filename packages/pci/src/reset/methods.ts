// Which ways of resetting one function exist, and in what order the kernel tries them (pci_reset_fn_methods).
// Source: drivers/pci/pci.c (pci_init_reset_methods, pci_dev_reset_slot_function, pci_parent_bus_reset).
import { EINVAL } from "@minivmm/host";
import { hasAfFlr } from "../caps/af.ts";
import { hasFlr } from "../caps/pcie.ts";
import { PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET } from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";
import type { ResetMethod } from "./method-names.ts";
import { noBusReset, noFlr, noPmReset } from "./quirks.ts";

const ORDER: readonly ResetMethod[] = ["flr", "af_flr", "pm", "bus"];

/** Methods whose probe succeeds now, in the kernel's order. */
export function probeResetMethods(fn: PciFunction): ResetMethod[] {
  return ORDER.filter((method) => canReset(fn, method));
}

export function canReset(fn: PciFunction, method: ResetMethod): boolean {
  switch (method) {
    case "flr":
      return hasFlr(fn.device) && !noFlr(fn);
    case "af_flr":
      return hasAfFlr(fn.device) && !noFlr(fn);
    case "pm": {
      const at = fn.device.pmOffset;
      return at !== 0 && !noPmReset(fn) && !(fn.config.read(at + PCI_PM_CTRL, 2) & PCI_PM_CTRL_NO_SOFT_RESET);
    }
    case "bus":
      return canResetSlotAlone(fn) || canResetParentBus(fn);
  }
}

/** The slot's hotplug driver can reset it, and this is its only function. */
function canResetSlotAlone(fn: PciFunction): boolean {
  return fn.hotplugSlot && fn.secondary === null && !noBusReset(fn) && !fn.multifunction;
}

/** A secondary bus reset of the bus above hits this function only. A bridge counts once its bus has been scanned. */
function canResetParentBus(fn: PciFunction): boolean {
  const { bus } = fn;
  if (bus.bridge === null || fn.secondary !== null || noBusReset(fn)) return false;
  return bus.functions.every((other) => other === fn);
}

/**
 * Write to sysfs `reset_method`: "default" probes again, an empty line clears the list, otherwise a space-separated
 * subset in the wanted order. Returns 0 or -EINVAL with the list unchanged.
 */
export function setResetMethods(fn: PciFunction, text: string): number {
  const wanted = text.trim();
  if (wanted === "" || wanted === "default") {
    fn.resetMethods = wanted === "" ? [] : probeResetMethods(fn);
    return 0;
  }
  const methods: ResetMethod[] = [];
  for (const name of wanted.split(/\s+/)) {
    const method = ORDER.find((known) => known === name);
    if (method === undefined || !canReset(fn, method)) return -EINVAL;
    methods.push(method);
  }
  fn.resetMethods = methods;
  return 0;
}
