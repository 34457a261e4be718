// Subsystem ids of a bridge, whose header has no room for them (PCI-to-PCI Bridge 1.2, section 3.2.5.13).
import type { PciDevice } from "../device.ts";
import { PCI_CAP_ID_SSVID } from "../registers.ts";

/** Add the capability. Returns its offset. */
export function addSsvid(device: PciDevice, ids: { vendor?: number; device?: number } = {}, at?: number): number {
  const offset = device.config.addCapability(PCI_CAP_ID_SSVID, 8, at);
  device.config.define(offset + 4, 2, { value: ids.vendor ?? 0 });
  device.config.define(offset + 6, 2, { value: ids.device ?? 0 });
  return offset;
}
