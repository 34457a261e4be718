// The slot registers of a root or downstream port (PCI Express Base 4.0 sections 7.5.3.9 to 7.5.3.11): button,
// indicators and power controller are there in every slot, surprise and hot-plug in those that can be hot-plugged.
// A slot that holds a device at power-on has its power and its power indicator on. Commands complete at once, and are not
// announced.
import type { ConfigSpace } from "../config-space.ts";
import { PCI_EXP_SLTCAP, PCI_EXP_SLTCTL, PCI_EXP_SLTSTA } from "../registers.ts";

export interface SlotOptions {
  /** Physical slot number, 0..8191. */
  readonly number: number;
  /** Devices can come and go. Default false. */
  readonly hotplug?: boolean;
}

const ATTENTION_BUTTON = 0x01;
const POWER_CONTROLLER = 0x02;
const ATTENTION_INDICATOR = 0x08;
const POWER_INDICATOR = 0x10;
const SURPRISE = 0x20;
const HOTPLUG = 0x40;
const INTERLOCK = 0x2_0000;

const CTL_ATTENTION_OFF = 0x00c0;
const CTL_POWER_ON = 0x0100;
/** Everything but the two detectors that the slot lacks. */
const CTL_WRITABLE = 0x07f9;
const STA_PRESENT = 0x0040;

export function addSlot(config: ConfigSpace, express: number, slot: SlotOptions): void {
  const always = ATTENTION_BUTTON | POWER_CONTROLLER | ATTENTION_INDICATOR | POWER_INDICATOR | INTERLOCK;
  const ability = always | (slot.hotplug ? SURPRISE | HOTPLUG : 0);
  config.define(express + PCI_EXP_SLTCAP, 4, { value: (ability | (slot.number << 19)) >>> 0 });
  config.define(express + PCI_EXP_SLTCTL, 2, { value: CTL_ATTENTION_OFF | CTL_POWER_ON, write: CTL_WRITABLE });
  config.define(express + PCI_EXP_SLTSTA, 2, { value: STA_PRESENT, rw1c: 0x011f });
}
