// The PCI Express capability, version 2 (PCI Express Base 4.0 section 7.5.3), for endpoints, ports and bridges.
// Writing DEVCTL bit 15 starts a function-level reset where DEVCAP advertises it; on a PCIe-to-PCI bridge the same bit
// is bridge configuration retry enable and resets nothing. The bit always reads zero.
import type { PciDevice } from "../device.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_FLAGS,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_RC_END,
  PCI_EXP_TYPE_ROOT_PORT,
} from "../registers.ts";

export interface PcieOptions {
  /** PCI_EXP_TYPE_*: default endpoint. */
  type?: number;
  /** Function-level reset. Default false. */
  flr?: boolean;
  at?: number;
}

const VERSION = 2;
const LENGTH = 0x3c;
const ROLE_BASED_ERRORS = 0x8000;
const DEVCAP_MPS_256 = 1;
/** 16 GT/s x4 in LNKCAP, the same in LNKSTA. */
const LINK = 0x44;
const LNKSTA_DLL_ACTIVE = 0x2000;
const SLOT_IMPLEMENTED = 0x0100;

/** Add the capability. Returns its offset. */
export function addPcie(device: PciDevice, options: PcieOptions = {}): number {
  const { type = PCI_EXP_TYPE_ENDPOINT, flr = false, at } = options;
  const { config } = device;
  const offset = config.addCapability(PCI_CAP_ID_EXP, LENGTH, at);
  const port = type === PCI_EXP_TYPE_ROOT_PORT || type === PCI_EXP_TYPE_DOWNSTREAM;
  config.define(offset + PCI_EXP_FLAGS, 2, { value: VERSION | (type << 4) | (port ? SLOT_IMPLEMENTED : 0) });
  const devcap = ROLE_BASED_ERRORS | DEVCAP_MPS_256 | (flr ? PCI_EXP_DEVCAP_FLR : 0);
  config.define(offset + PCI_EXP_DEVCAP, 4, { value: devcap });
  // Error reporting, relaxed ordering, payload size, no snoop, read request size; payload size outlives an FLR.
  config.define(offset + PCI_EXP_DEVCTL, 2, { value: 0x2810, write: 0x78ff, flrKept: 0x00e0 });
  config.define(offset + 10, 2, { rw1c: 0x000f });
  if (type !== PCI_EXP_TYPE_RC_END) {
    config.define(offset + 12, 4, { value: LINK });
    config.define(offset + 16, 2, { write: 0x00ff, flrKept: 0x00ff });
    config.define(offset + 18, 2, { value: LINK | (port ? LNKSTA_DLL_ACTIVE : 0) });
  }
  if (port) {
    config.define(offset + 24, 2, { write: 0x1fff });
    config.define(offset + 26, 2, { value: 0x0040, rw1c: 0x011f });
  }
  if (type === PCI_EXP_TYPE_ROOT_PORT) config.define(offset + 28, 2, { write: 0x001f });
  config.define(offset + 40, 2, { write: 0x07ff });
  config.define(offset + 48, 2, { write: 0x000f });
  if (flr) {
    // The bit is write-only: it is seen in the written value, never stored.
    config.onWrittenBits(offset + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, () => device.reset("flr"));
  }
  return offset;
}

/** PCI_EXP_TYPE_* of a function, or -1 for a conventional one. */
export function pcieType(device: PciDevice): number {
  const at = device.config.findCapability(PCI_CAP_ID_EXP);
  return at === 0 ? -1 : (device.config.read(at + PCI_EXP_FLAGS, 2) >> 4) & 0xf;
}

export function hasFlr(device: PciDevice): boolean {
  const at = device.config.findCapability(PCI_CAP_ID_EXP);
  return at !== 0 && (device.config.read(at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR) !== 0;
}
