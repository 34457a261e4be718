// A PCI Express endpoint on a guest's root bus, where no port is above it: the guest sees it as integrated into the root
// complex, and no link that it could manage.
// Source: PCI Express Base 5.0 sections 7.5.3.2 and 7.5.3.6; QEMU 7.2 hw/vfio/pci.c (vfio_setup_pcie_cap).
import {
  PCI_EXP_FLAGS,
  PCI_EXP_LNKCAP,
  PCI_EXP_LNKCAP2,
  PCI_EXP_LNKCTL,
  PCI_EXP_LNKCTL2,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_LEG_END,
  PCI_EXP_TYPE_RC_END,
} from "@minivmm/pci/function";

interface Registers {
  read(offset: number, width: 1 | 2 | 4): number;
  /** Shows `value` to the guest instead of the device's. */
  emulate(offset: number, width: 1 | 2 | 4, value: number): void;
}

const TYPE = 0xf0;
const VERSION = 0x0f;

/** `at` is the offset of the PCI Express capability. */
export function showInRootComplex(at: number, registers: Registers): void {
  const flags = registers.read(at + PCI_EXP_FLAGS, 2);
  const type = (flags & TYPE) >> 4;
  if (type !== PCI_EXP_TYPE_ENDPOINT && type !== PCI_EXP_TYPE_LEG_END) return;
  registers.emulate(at + PCI_EXP_FLAGS, 2, (flags & ~TYPE) | (PCI_EXP_TYPE_RC_END << 4));
  registers.emulate(at + PCI_EXP_LNKCAP, 4, 0);
  registers.emulate(at + PCI_EXP_LNKCTL, 4, 0);
  if ((flags & VERSION) < 2) return;
  registers.emulate(at + PCI_EXP_LNKCAP2, 4, 0);
  registers.emulate(at + PCI_EXP_LNKCTL2, 4, 0);
}
