// Resets as the hardware does them, without the kernel's saving and restoring: a reset signal reaches a function and all
// its software-visible state goes back to power-on values. Function resets are triggered by register writes inside the
// capabilities (caps/pcie.ts, af.ts, pm.ts); a secondary bus reset by the bridge control register.
import { PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET } from "../registers.ts";
import type { PciBus, PciFunction } from "../topology/graph.ts";

/** Reset every function on a bus and below it; bridges lose their bus numbers and windows like everything else. */
export function resetSubordinates(bus: PciBus): void {
  for (const fn of bus.walk()) fn.device.reset("bus");
}

/** Assert and release secondary bus reset on a bridge. */
export function secondaryBusReset(bridge: PciFunction): void {
  const control = bridge.config.read(PCI_BRIDGE_CONTROL, 2);
  bridge.config.write(PCI_BRIDGE_CONTROL, 2, control | PCI_BRIDGE_CTL_BUS_RESET);
  bridge.config.write(PCI_BRIDGE_CONTROL, 2, control & ~PCI_BRIDGE_CTL_BUS_RESET);
}
