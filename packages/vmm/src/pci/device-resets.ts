// Resets of passed-through functions around a VM's life. VFIO resets a function by itself when it is opened and when it is
// closed, where the function has a reset of its own. One that has none keeps what its last user left, unless the bus or
// slot it is on is reset, which takes everything there: so that is done when all of it is this VM's or nobody's.
// Source: Linux drivers/vfio/pci/vfio_pci_core.c (vfio_pci_core_enable, _disable); QEMU 7.2 hw/vfio/pci.c
// (vfio_pci_hot_reset_multi).
// Invariants: a bus is reset once for all its functions; a reset that would hit somebody else is not tried.
import { type Host, MinivmmError } from "@minivmm/host";
import { planHotReset, runHotReset } from "@minivmm/pci-hotreset";
import { VFIO_DEVICE_FLAGS_RESET, type VfioDevice, type VfioGroup } from "@minivmm/vfio-core";

/** What stayed as it was, and why. */
export interface ResetFailure {
  readonly device: VfioDevice;
  readonly message: string;
}

/** Hot resets of those devices that have no reset of their own. `groups`: those that the VM holds. Never throws. */
export function resetWhatCannotItself(
  host: Host,
  devices: readonly VfioDevice[],
  groups: readonly VfioGroup[],
): ResetFailure[] {
  const failures: ResetFailure[] = [];
  const done = new Set<string>();
  for (const device of devices) {
    if (done.has(device.name)) continue;
    try {
      if (hasOwnReset(device)) continue;
      const plan = planHotReset(host, device);
      runHotReset(plan, groups);
      for (const { bdf } of plan.affected) done.add(bdf);
    } catch (error) {
      if (!(error instanceof MinivmmError)) throw error;
      const message = `it could not be reset, so it is as its last user left it: ${error.message}`;
      failures.push({ device, message });
    }
  }
  return failures;
}

function hasOwnReset(device: VfioDevice): boolean {
  return (device.info().flags & VFIO_DEVICE_FLAGS_RESET) !== 0;
}
