// Access control services as the kernel judges them (pci_acs_enabled, pci_acs_path_enabled): may a function send to its
// neighbours without passing the IOMMU? Source: drivers/pci/pci.c and the quirk list of drivers/pci/quirks.c.
import * as regs from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";

/** What an isolated path needs: source validation, request and completion redirect, upstream forwarding. */
export const REQ_ACS_FLAGS = regs.PCI_ACS_SV | regs.PCI_ACS_RR | regs.PCI_ACS_CR | regs.PCI_ACS_UF;

/** Multifunction Intel network functions that are isolated without an ACS capability. */
const ISOLATED_FUNCTIONS = new Map<number, ReadonlySet<number>>([
  [
    0x8086,
    new Set([
      0x10c6, 0x10db, 0x10dd, 0x10e1, 0x10f1, 0x10f7, 0x10f8, 0x10f9, 0x10fa, 0x10fb, 0x10fc, 0x1507, 0x1514, 0x151c,
      0x1529, 0x152a, 0x154d, 0x154f, 0x1551, 0x1558, 0x10a7, 0x10a9, 0x10d6, 0x10c9, 0x10e6, 0x10e7, 0x10e8, 0x150a,
      0x150d, 0x1518, 0x1526, 0x150e, 0x150f, 0x1510, 0x1511, 0x1516, 0x1527, 0x1521, 0x1522, 0x1523, 0x1524, 0x105e,
      0x105f, 0x1060, 0x10d9, 0x15b7, 0x15b8,
    ]),
  ],
  [0x1924, new Set([0x0903, 0x0923, 0x0a03])],
]);

/** Does this function keep its peer-to-peer traffic apart (or is it unable to have any)? */
export function acsEnabled(fn: PciFunction, flags = REQ_ACS_FLAGS): boolean {
  if (isolatedByQuirk(fn)) return true;
  switch (fn.pcieType) {
    case -1:
    case regs.PCI_EXP_TYPE_PCI_BRIDGE:
    case regs.PCI_EXP_TYPE_PCIE_BRIDGE:
    case regs.PCI_EXP_TYPE_RC_EC:
      return false;
    case regs.PCI_EXP_TYPE_ROOT_PORT:
    case regs.PCI_EXP_TYPE_DOWNSTREAM:
      return capabilityGrants(fn, flags);
    default:
      // A single-function device has no peer inside its slot, so nothing can be sent past the port above it.
      return !fn.multifunction || capabilityGrants(fn, flags);
  }
}

/** Every function from `fn` up to the root bus passes. */
export function acsPathEnabled(fn: PciFunction, flags = REQ_ACS_FLAGS): boolean {
  for (let at: PciFunction | null = fn; at !== null; at = at.bus.bridge) {
    if (!acsEnabled(at, flags)) return false;
  }
  return true;
}

/** A bit that the capability does not offer needs no control, egress control apart. */
function capabilityGrants(fn: PciFunction, flags: number): boolean {
  const at = fn.config.findExtendedCapability(regs.PCI_EXT_CAP_ID_ACS);
  if (at === 0) return false;
  const capability = fn.config.read(at + regs.PCI_ACS_CAP, 2) | regs.PCI_ACS_EC;
  const control = fn.config.read(at + regs.PCI_ACS_CTRL, 2);
  const needed = flags & capability;
  return (control & needed) === needed;
}

function isolatedByQuirk(fn: PciFunction): boolean {
  const vendor = fn.config.read(regs.PCI_VENDOR_ID, 2);
  if (ISOLATED_FUNCTIONS.get(vendor)?.has(fn.config.read(regs.PCI_DEVICE_ID, 2))) return true;
  return vendor === 0x8086 && fn.bus.isRoot && fn.pcieType === regs.PCI_EXP_TYPE_RC_END;
}
