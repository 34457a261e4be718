// The power management capability (PCI Bus Power Management 1.2): D0 and D3hot, optionally D1/D2.
// Leaving D3hot resets the function unless No_Soft_Reset is set; that is what the "pm" reset method uses.
import type { PciDevice } from "../device.ts";
import {
  PCI_CAP_ID_PM,
  PCI_PM_CAP_DSI,
  PCI_PM_CTRL,
  PCI_PM_CTRL_DATA_SEL_MASK,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_PME_ENABLE,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_PMC,
} from "../registers.ts";

export interface PmOptions {
  /** The function keeps its state from D3hot to D0. Default false. */
  noSoftReset?: boolean;
  /**
   * Without No_Soft_Reset: the function really loses its state on its way out of D3hot. False for functions that announce
   * it and do nothing. Default true.
   */
  softReset?: boolean;
  /** D1 and D2 exist. Default false. */
  d1d2?: boolean;
  /** Version of the capability. Default 3. */
  version?: number;
  /** The driver has to initialise the function after D0. Default false. */
  deviceInit?: boolean;
  /** The function has power management events and selectable data: registers of both can be written. Default false. */
  events?: boolean;
  /** States from which an event can be sent, bit 0 D0 .. bit 4 D3cold. Default none. */
  eventStates?: number;
  at?: number;
}

const PMC_VERSION = 3;
const PMC_PME_SHIFT = 11;
const PMC_D1_D2 = 0x0600;

/** Add the capability. Returns its offset. */
export function addPm(device: PciDevice, options: PmOptions = {}): number {
  const { config } = device;
  const at = config.addCapability(PCI_CAP_ID_PM, 8, options.at);
  device.pmOffset = at;
  const noSoftReset = options.noSoftReset ? PCI_PM_CTRL_NO_SOFT_RESET : 0;
  const ability =
    (options.version ?? PMC_VERSION) | (options.deviceInit ? PCI_PM_CAP_DSI : 0) | (options.d1d2 ? PMC_D1_D2 : 0);
  config.define(at + PCI_PM_PMC, 2, { value: ability | ((options.eventStates ?? 0) << PMC_PME_SHIFT) });
  config.define(at + PCI_PM_CTRL, 2, {
    value: noSoftReset,
    write: PCI_PM_CTRL_STATE_MASK | (options.events ? PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_DATA_SEL_MASK : 0),
    rw1c: options.events ? PCI_PM_CTRL_PME_STATUS : 0,
  });
  config.onWrite(at + PCI_PM_CTRL, 1, (offset, _size, _value, old) => {
    const state = (old >>> ((at + PCI_PM_CTRL - offset) * 8)) & PCI_PM_CTRL_STATE_MASK;
    const wanted = config.read(at + PCI_PM_CTRL, 2) & PCI_PM_CTRL_STATE_MASK;
    // A write of an unsupported state completes on the bus and changes nothing.
    if ((wanted === 1 || wanted === 2) && !options.d1d2) {
      const rest = config.read(at + PCI_PM_CTRL, 2) & ~PCI_PM_CTRL_STATE_MASK;
      config.poke(at + PCI_PM_CTRL, 2, rest | state);
      return;
    }
    if (state === 3 && wanted === 0 && !noSoftReset && (options.softReset ?? true)) device.reset("pm");
  });
  return at;
}

/** Power state of a function: 0 (D0) .. 3 (D3hot); functions without the capability are always in D0. */
export function powerState(device: PciDevice): number {
  const at = device.pmOffset;
  return at === 0 ? 0 : device.config.bytes[at + PCI_PM_CTRL]! & PCI_PM_CTRL_STATE_MASK;
}
