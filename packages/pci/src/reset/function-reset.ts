// Resetting one function with its configuration kept (pci_try_reset_function, __pci_reset_function_locked).
// Methods are tried in order: 0 ends the chain, -ENOTTY goes to the next, any other error ends it with that error.
import { EAGAIN, EINVAL, ENOTTY } from "@minivmm/host";
import {
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
} from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";
import { secondaryBusReset } from "./hardware.ts";
import type { ResetMethod } from "./method-names.ts";
import { canReset } from "./methods.ts";
import { setPowerState } from "./power.ts";
import { restoreConfig, type SavedConfig, saveConfig } from "./saved-config.ts";

/** Reset a function and restore its configuration. 0, -EAGAIN (locked), -ENOTTY (no way to do it), -EINVAL. */
export function resetFunction(fn: PciFunction): number {
  if (fn.resetMethods.length === 0) return -ENOTTY;
  if (fn.locked) return -EAGAIN;
  fn.locked = true;
  try {
    const saved = saveAndDisable(fn);
    const result = runResetChain(fn);
    restoreConfig(fn, saved);
    return result;
  } finally {
    fn.locked = false;
  }
}

/** To D0, save, then decode, bus mastering and INTx off (pci_dev_save_and_disable). */
export function saveAndDisable(fn: PciFunction): SavedConfig {
  setPowerState(fn, 0);
  const saved = saveConfig(fn);
  fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
  return saved;
}

/** The chain alone: the caller has the lock and has saved the configuration. */
export function runResetChain(fn: PciFunction): number {
  for (const method of fn.resetMethods) {
    const result = runMethod(fn, method);
    if (result !== -ENOTTY) return result;
  }
  return -ENOTTY;
}

function runMethod(fn: PciFunction, method: ResetMethod): number {
  if (!canReset(fn, method)) return -ENOTTY;
  switch (method) {
    case "flr": {
      const at = fn.config.findCapability(PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
      fn.writeConfig(at, 2, fn.readConfig(at, 2) | PCI_EXP_DEVCTL_BCR_FLR);
      break;
    }
    case "af_flr":
      fn.writeConfig(fn.config.findCapability(PCI_CAP_ID_AF) + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
      break;
    case "pm":
      // The kernel refuses from a low-power state, and this error ends the chain.
      if (fn.powerState !== 0) return -EINVAL;
      setPowerState(fn, 3);
      setPowerState(fn, 0);
      break;
    case "bus":
      secondaryBusReset(fn.bus.bridge!);
      break;
  }
  return fn.responding ? 0 : -ENOTTY;
}
