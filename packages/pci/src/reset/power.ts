// Moving a function between power states the way the kernel does (pci_set_power_state): through PMCSR, putting BARs back
// when the function lost them on its way out of D3hot.
import { writeBarAddress } from "../bar.ts";
import { PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK } from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";

/** Put a function into D0 (0) .. D3hot (3). Without the capability, or when it does not answer, nothing happens. */
export function setPowerState(fn: PciFunction, state: 0 | 1 | 2 | 3): void {
  const at = fn.device.pmOffset;
  const before = fn.powerState;
  if (at === 0 || before === state) return;
  const control = fn.config.read(at + PCI_PM_CTRL, 2) & ~PCI_PM_CTRL_STATE_MASK;
  fn.writeConfig(at + PCI_PM_CTRL, 2, control | state);
  if (before === 3 && state === 0) restoreBars(fn);
}

/** Program the BARs with the addresses that firmware assigned (pci_restore_bars). */
export function restoreBars(fn: PciFunction): void {
  if (!fn.responding) return;
  for (const bar of fn.bars) writeBarAddress(fn.config, bar, bar.busAddress, fn.device.headerType);
}
