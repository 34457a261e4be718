// Functions whose resets are known not to work, by vendor and device (drivers/pci/quirks.c, Linux 6.12).
import { PCI_CLASS_REVISION, PCI_DEVICE_ID, PCI_VENDOR_ID } from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";

const NO_BUS_RESET = new Map<number, readonly number[]>([
  [0x168c, [0x0030, 0x0032, 0x0033, 0x0034, 0x003c, 0x003e]],
  [0x17cb, [0x0308, 0x1103, 0x1107]],
  [0x177d, [0xa100]],
  [0x104c, [0xb005]],
  [0x1b21, [0x1164]],
  [0x10de, [0x22ce, 0x22d0]],
]);
const NO_FLR = new Map<number, readonly number[]>([
  [0x8086, [0x1502, 0x1503]],
  [0x1022, [0x1487, 0x148c, 0x149c, 0x7901]],
  [0x14c3, [0x0616, 0x7925]],
]);
const NO_PM_RESET = new Map<number, readonly number[]>([[0x15b3, [0xcb84, 0xcf6c, 0xcf70, 0xcf80]]]);

const listed = (table: ReadonlyMap<number, readonly number[]>, fn: PciFunction): boolean =>
  table.get(fn.config.read(PCI_VENDOR_ID, 2))?.includes(fn.config.read(PCI_DEVICE_ID, 2)) ?? false;

/** Is the function with these ids one that a reset of the bus above it does not bring back? */
export function isNoBusResetId(vendor: number, device: number): boolean {
  if (vendor === 0x10de && device >= 0x2340 && device <= 0x237f) return true;
  return NO_BUS_RESET.get(vendor)?.includes(device) ?? false;
}

export function noBusReset(fn: PciFunction): boolean {
  return isNoBusResetId(fn.config.read(PCI_VENDOR_ID, 2), fn.config.read(PCI_DEVICE_ID, 2));
}

export const noFlr = (fn: PciFunction): boolean => listed(NO_FLR, fn);

/** AMD display functions lose their state in D3 although they say otherwise. */
export function noPmReset(fn: PciFunction): boolean {
  const display = fn.config.read(PCI_CLASS_REVISION, 4) >>> 16 === 0x0300;
  return listed(NO_PM_RESET, fn) || (fn.config.read(PCI_VENDOR_ID, 2) === 0x1002 && display);
}
