// Extended capabilities whose registers are all a model needs: error reporting (AER), access control (ACS), alternative
// routing (ARI), serial number (DSN) and the SR-IOV block. Source: PCI Express Base 4.0 sections 7.8.4, 7.7.8, 7.8.8,
// 7.9.3; SR-IOV 1.1 section 3.3. AER status and control are sticky: only a power cycle clears them.
import type { PciDevice } from "../device.ts";
import {
  PCI_ACS_CAP,
  PCI_ACS_CTRL,
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_ID_ERR,
  PCI_EXT_CAP_ID_SRIOV,
} from "../registers.ts";

const AER_UNCORRECTABLE = 0x07fff030;
const AER_CORRECTABLE = 0x0000f1c1;

/** Advanced error reporting; `root` adds the root error registers. Returns the offset. */
export function addAer(device: PciDevice, options: { root?: boolean; at?: number } = {}): number {
  const { config } = device;
  const at = config.addExtendedCapability(PCI_EXT_CAP_ID_ERR, 2, options.root ? 0x38 : 0x2c, options.at);
  const sticky = 0xffffffff;
  config.define(at + 4, 4, { rw1c: AER_UNCORRECTABLE, sticky });
  config.define(at + 8, 4, { value: 0x00400000, write: AER_UNCORRECTABLE, sticky });
  config.define(at + 12, 4, { value: 0x00462030, write: AER_UNCORRECTABLE, sticky });
  config.define(at + 16, 4, { rw1c: AER_CORRECTABLE, sticky });
  config.define(at + 20, 4, { value: 0x0000e000, write: AER_CORRECTABLE, sticky });
  config.define(at + 24, 4, { value: 0x000000a0, write: 0x00000140, sticky });
  if (options.root) {
    config.define(at + 44, 4, { write: 7 });
    config.define(at + 48, 4, { rw1c: 0x7f, sticky });
  }
  return at;
}

export interface AcsOptions {
  /** PCI_ACS_* bits the port has. Default SV, TB, RR, CR, UF. */
  capability?: number;
  /** Bits switched on; a host whose IOMMU driver asks for ACS enables SV, RR, CR and UF. Default those. */
  control?: number;
  at?: number;
}

/** Access control services. Returns the offset. */
export function addAcs(device: PciDevice, options: AcsOptions = {}): number {
  const { capability = 0x1f, control = 0x1d, at } = options;
  const { config } = device;
  const offset = config.addExtendedCapability(PCI_EXT_CAP_ID_ACS, 1, 8, at);
  config.define(offset + PCI_ACS_CAP, 2, { value: capability });
  config.define(offset + PCI_ACS_CTRL, 2, { write: capability & 0x7f });
  config.poke(offset + PCI_ACS_CTRL, 2, control & capability);
  return offset;
}

/** Alternative routing id; `nextFunction` links to the next function of the device. Returns the offset. */
export function addAri(device: PciDevice, options: { nextFunction?: number; at?: number } = {}): number {
  const at = device.config.addExtendedCapability(PCI_EXT_CAP_ID_ARI, 1, 8, options.at);
  device.config.define(at + 4, 2, { value: (options.nextFunction ?? 0) << 8 });
  return at;
}

/** Device serial number, eight bytes in two halves. Returns the offset. */
export function addDsn(device: PciDevice, serial: { hi: number; lo: number }, at?: number): number {
  const offset = device.config.addExtendedCapability(PCI_EXT_CAP_ID_DSN, 1, 12, at);
  device.config.define(offset + 4, 4, { value: serial.lo });
  device.config.define(offset + 8, 4, { value: serial.hi });
  return offset;
}

export interface SriovOptions {
  totalVfs: number;
  vfDevice: number;
  vfOffset: number;
  vfStride: number;
  at?: number;
}

/** The SR-IOV register block. Virtual functions themselves are not created by this package. Returns the offset. */
export function addSriov(device: PciDevice, options: SriovOptions): number {
  const { config } = device;
  const at = config.addExtendedCapability(PCI_EXT_CAP_ID_SRIOV, 1, 0x40, options.at);
  config.define(at + 8, 2, { write: 0x0019 });
  config.define(at + 12, 4, { value: options.totalVfs | (options.totalVfs << 16) });
  config.define(at + 16, 2, { write: 0xffff });
  config.define(at + 20, 4, { value: options.vfOffset | (options.vfStride << 16) });
  config.define(at + 26, 2, { value: options.vfDevice });
  config.define(at + 28, 4, { value: 0x00000553 });
  config.define(at + 32, 4, { value: 1, write: 0x00000553 });
  return at;
}
