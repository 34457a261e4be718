// Conventional PCI's Advanced Features capability: a function-level reset for functions without PCI Express
// (Advanced Capabilities for Conventional PCI ECN). Writing 1 to its control byte resets the function; it reads zero.
import type { PciDevice } from "../device.ts";
import {
  PCI_AF_CAP,
  PCI_AF_CAP_FLR,
  PCI_AF_CAP_TP,
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_CAP_ID_AF,
} from "../registers.ts";

const LENGTH = 6;

/** Add the capability with transactions-pending and FLR support. Returns its offset. */
export function addAf(device: PciDevice, at?: number): number {
  const { config } = device;
  const offset = config.addCapability(PCI_CAP_ID_AF, LENGTH, at);
  config.define(offset + 2, 1, { value: LENGTH });
  config.define(offset + PCI_AF_CAP, 1, { value: PCI_AF_CAP_TP | PCI_AF_CAP_FLR });
  config.onWrittenBits(offset + PCI_AF_CTRL, PCI_AF_CTRL_FLR, () => device.reset("flr"));
  return offset;
}

/** Linux asks for both bits before it trusts the reset. */
export function hasAfFlr(device: PciDevice): boolean {
  const at = device.config.findCapability(PCI_CAP_ID_AF);
  const both = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
  return at !== 0 && (device.config.read(at + PCI_AF_CAP, 1) & both) === both;
}
