/**
 * Extended capabilities (configuration space from 0x100) as a user of vfio-pci sees them.
 *
 * An id without a rule is hidden. Source: pci_ext_cap_length and vfio_ext_cap_len of vfio_pci_config.c.
 */
import type { CapabilityRule, ConfigReader } from "./capability-table.ts";
import { ALL, NONE, type PermissionMap } from "./permissions.ts";

const readOnly = (name: string, length: number | CapabilityRule["length"]): CapabilityRule => ({
  name,
  length: typeof length === "number" ? () => length : length,
});

/** Defined bits of the AER registers; the rest is reserved. */
const UNCORRECTABLE = 0x03fff031;
const CORRECTABLE = 0xf1c1;
const ECRC_ENABLES = 0x140;

function aerPermissions(map: PermissionMap, _hw: ConfigReader, at: number): void {
  for (const register of [4, 8, 12]) map.set(at + register, 4, NONE, UNCORRECTABLE);
  for (const register of [16, 20]) map.set(at + register, 4, NONE, CORRECTABLE);
  map.set(at + 24, 4, NONE, ECRC_ENABLES);
}

/** Virtual channel: 16 bytes, 12 for each channel, and a table of the largest arbitration scheme. */
function virtualChannelLength(hw: ConfigReader, at: number): number {
  const channels = 1 + (hw.read(at + 4, 4) & 7);
  const schemes = hw.read(at + 8, 4);
  const phases = schemes & 8 ? 128 : schemes & 4 ? 64 : schemes & 2 ? 32 : 0;
  const length = 16 + 12 * channels;
  return phases === 0 ? length : Math.ceil(length / 16) * 16 + phases / 2;
}

function acsLength(hw: ConfigReader, at: number): number {
  if (!(hw.read(at + 4, 1) & 0x20)) return 8;
  const ports = hw.read(at + 5, 1);
  return 8 + (ports === 0 ? 256 : Math.ceil(ports / 32) * 32) / 8;
}

function tphLength(hw: ConfigReader, at: number): number {
  const requester = hw.read(at + 4, 4);
  return ((requester >>> 9) & 3) === 1 ? 12 + 2 * ((requester >>> 16) & 0x7ff) + 2 : 12;
}

const vendorLength = (hw: ConfigReader, at: number) => hw.read(at + 4, 4) >>> 20;

const vendor = (name: string): CapabilityRule => ({
  name,
  length: vendorLength,
  permissions(map, hw, at) {
    for (let i = 4; i < vendorLength(hw, at); i++) map.set(at + i, 1, NONE, ALL);
  },
});

export const EXTENDED_CAPABILITIES: ReadonlyMap<number, CapabilityRule> = new Map<number, CapabilityRule>([
  [0x01, { name: "advanced error reporting", length: () => 0x2c, permissions: aerPermissions }],
  [0x02, readOnly("virtual channel", virtualChannelLength)],
  [0x03, readOnly("device serial number", 12)],
  [0x04, { name: "power budgeting", length: () => 16, permissions: (map, _hw, at) => map.set(at + 4, 1, NONE, ALL) }],
  [0x08, readOnly("multi-function virtual channel", virtualChannelLength)],
  [0x09, readOnly("virtual channel (with MFVC)", virtualChannelLength)],
  [0x0b, vendor("vendor specific")],
  [0x0d, readOnly("access control services", acsLength)],
  [0x0e, readOnly("alternative routing-id", 8)],
  [0x0f, readOnly("address translation services", 8)],
  [0x10, readOnly("SR-IOV", 0x40)],
  [0x12, readOnly("multicast", 0x30)],
  [0x13, readOnly("page request", 16)],
  [0x15, readOnly("resizable BAR", (hw, at) => 4 + 8 * (hw.read(at + 8, 1) >> 5))],
  [0x16, readOnly("dynamic power allocation", (hw, at) => 0x10 + (hw.read(at + 4, 1) & 0x1f) + 1)],
  [0x17, readOnly("TPH requester", tphLength)],
  [0x18, readOnly("latency tolerance reporting", 8)],
  [0x23, vendor("designated vendor specific")],
]);
