// The PCI Express capability (PCI Express Base 4.0 section 7.5.3), for endpoints, ports and bridges.
// Writing DEVCTL bit 15 starts a function-level reset where DEVCAP advertises it; on a PCIe-to-PCI bridge the same bit
// is bridge configuration retry enable and resets nothing. The bit always reads zero.
// What a link does not implement is hardwired, as on QEMU's functions: an endpoint's control words are read-only, a
// port's take error reporting. Slot registers are in pcie-slot.ts.
import type { PciDevice } from "../device.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCAP2,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVCTL_NOSNOOP_EN,
  PCI_EXP_DEVCTL2,
  PCI_EXP_FLAGS,
  PCI_EXP_LNKCAP,
  PCI_EXP_LNKCAP2,
  PCI_EXP_LNKCTL2,
  PCI_EXP_LNKSTA,
  PCI_EXP_RTCTL,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_LEG_END,
  PCI_EXP_TYPE_RC_END,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_UPSTREAM,
} from "../registers.ts";
import { addSlot, type SlotOptions } from "./pcie-slot.ts";

export interface PcieOptions {
  /** PCI_EXP_TYPE_*: default endpoint. */
  type?: number;
  /** Function-level reset. Default false. */
  flr?: boolean;
  /** Version of the capability; 1 ends with the link registers. Default 2. */
  version?: 1 | 2;
  /** Payload and request sizes, relaxed ordering and no-snoop can be set, as on real endpoints. Default false. */
  transfers?: boolean;
  /** What the link can do at most. Default 2.5 GT/s x1; null: registers that say nothing. */
  link?: PcieLink | null;
  /** Root and downstream ports: a port without one has no slot registers. */
  slot?: SlotOptions;
  at?: number;
}

export interface PcieLink {
  /** 1: 2.5 GT/s, 2: 5, 3: 8, 4: 16. */
  readonly speed: number;
  /** Lanes. */
  readonly width: number;
}

const LENGTH = { 1: 0x14, 2: 0x3c } as const;
const ROLE_BASED_ERRORS = 0x8000;
const DEVCAP2_END_TO_END_PREFIX = 0x0030_0000;
const DEVCAP2_ARI = 0x20;
const DEVCTL2_PREFIX_BLOCKING = 0x8000;
const DEVCTL_ERROR_REPORTING = 0x000f;
const ASPM_L0S = 0x0400;
const LNKCAP_ACTIVE_REPORTING = 0x0010_0000;
const LNKCAP_BANDWIDTH_NOTIFICATION = 0x0020_0000;
const LNKSTA_DLL_ACTIVE = 0x2000;
const SLOT_IMPLEMENTED = 0x0100;
const DEFAULT_LINK: PcieLink = { speed: 1, width: 1 };

/** Add the capability. Returns its offset. */
export function addPcie(device: PciDevice, options: PcieOptions = {}): number {
  const { type = PCI_EXP_TYPE_ENDPOINT, flr = false, version = 2, slot, at } = options;
  const { config } = device;
  const offset = config.addCapability(PCI_CAP_ID_EXP, LENGTH[version], at);
  config.define(offset + PCI_EXP_FLAGS, 2, { value: version | (type << 4) | (slot ? SLOT_IMPLEMENTED : 0) });
  config.define(offset + PCI_EXP_DEVCAP, 4, { value: ROLE_BASED_ERRORS | (flr ? PCI_EXP_DEVCAP_FLR : 0) });
  const errors = reportsErrors(type) ? DEVCTL_ERROR_REPORTING : 0;
  // The payload size outlives a function-level reset.
  if (options.transfers) config.define(offset + PCI_EXP_DEVCTL, 2, { value: 0x2810, write: 0x78ff, flrKept: 0x00e0 });
  else config.define(offset + PCI_EXP_DEVCTL, 2, { write: errors });
  config.define(offset + PCI_EXP_DEVCTL + 2, 2, { rw1c: 0x000f });
  const link = options.link === undefined ? DEFAULT_LINK : options.link;
  defineLink(device, offset, link, leadsDown(type), version);
  if (slot) addSlot(config, offset, slot);
  if (type === PCI_EXP_TYPE_ROOT_PORT) config.define(offset + PCI_EXP_RTCTL, 2, { write: 0x0007 });
  if (version > 1) defineSecond(device, offset, type);
  if (flr) {
    // The bit is write-only: it is seen in the written value, never stored.
    config.onWrittenBits(offset + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, () => device.reset("flr"));
  }
  return offset;
}

const leadsDown = (type: number): boolean => type === PCI_EXP_TYPE_ROOT_PORT || type === PCI_EXP_TYPE_DOWNSTREAM;

const reportsErrors = (type: number): boolean =>
  type !== PCI_EXP_TYPE_ENDPOINT && type !== PCI_EXP_TYPE_LEG_END && type !== PCI_EXP_TYPE_RC_END;

function defineLink(
  { config }: PciDevice,
  offset: number,
  link: PcieLink | null,
  leads: boolean,
  version: number,
): void {
  const rate = link ? link.speed | (link.width << 4) : 0;
  const fast = leads && (link?.speed ?? 0) > 1;
  const reports = fast ? LNKCAP_ACTIVE_REPORTING | LNKCAP_BANDWIDTH_NOTIFICATION : 0;
  config.define(offset + PCI_EXP_LNKCAP, 4, { value: ASPM_L0S | rate | reports });
  config.define(offset + PCI_EXP_LNKSTA, 2, { value: rate | (leads ? LNKSTA_DLL_ACTIVE : 0) });
  if (!fast || version < 2) return;
  config.define(offset + PCI_EXP_LNKCAP2, 4, { value: (2 << link!.speed) - 2 });
  config.define(offset + PCI_EXP_LNKCTL2, 2, { value: link!.speed });
}

function defineSecond({ config }: PciDevice, offset: number, type: number): void {
  // Only what forwards downwards can forward by alternative routing id.
  const ari = reportsErrors(type) && type !== PCI_EXP_TYPE_UPSTREAM;
  const ability = DEVCAP2_END_TO_END_PREFIX | (ari ? DEVCAP2_ARI : 0);
  config.define(offset + PCI_EXP_DEVCAP2, 4, { value: ability });
  config.define(offset + PCI_EXP_DEVCTL2, 2, { write: DEVCTL2_PREFIX_BLOCKING | (ari ? DEVCAP2_ARI : 0) });
}

/**
 * Train the link below a port: both ends settle on the lower speed and width. A function without the capability has no
 * end, and the port goes on showing its own best.
 */
export function trainLink(port: PciDevice, below: PciDevice | null): void {
  const upper = port.config.findCapability(PCI_CAP_ID_EXP);
  const lower = below?.config.findCapability(PCI_CAP_ID_EXP) ?? 0;
  if (!upper || !below || !lower || !leadsDown(pcieType(port))) return;
  const status = below.config.read(lower + PCI_EXP_LNKSTA, 2) & 0x03ff;
  port.config.define(upper + PCI_EXP_LNKSTA, 2, { value: status | LNKSTA_DLL_ACTIVE });
}

/** PCI_EXP_TYPE_* of a function, or -1 for a conventional one. */
export function pcieType(device: PciDevice): number {
  const at = device.config.findCapability(PCI_CAP_ID_EXP);
  return at === 0 ? -1 : (device.config.read(at + PCI_EXP_FLAGS, 2) >> 4) & 0xf;
}

/** DEVCTL lets the function send requests with No Snoop; what has no such register never does. */
export function mayNotSnoop({ config }: PciDevice): boolean {
  const at = config.findCapability(PCI_CAP_ID_EXP);
  return at !== 0 && (config.read(at + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_NOSNOOP_EN) !== 0;
}

export function hasFlr(device: PciDevice): boolean {
  const at = device.config.findCapability(PCI_CAP_ID_EXP);
  return at !== 0 && (device.config.read(at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR) !== 0;
}
