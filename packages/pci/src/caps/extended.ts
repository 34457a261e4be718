// Extended capabilities whose registers are all a model needs: error reporting (AER), access control (ACS), alternative
// routing (ARI) and serial number (DSN). Source: PCI Express Base 4.0 sections 7.8.4, 7.7.8, 7.8.8, 7.9.3. AER status
// and control are sticky: only a power cycle clears them.
import type { PciDevice } from "../device.ts";
import {
  PCI_ACS_CAP,
  PCI_ACS_CTRL,
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_ID_ERR,
} from "../registers.ts";

const AER_UNCORRECTABLE = 0x03fff030;
const AER_CORRECTABLE = 0x0000f1c1;
const AER_LENGTH = 0x48;
const AER_LENGTH_SHORT = 0x40;
/** Internal errors, malformed requests, overflows and protocol errors are fatal at power-on. */
const AER_FATAL = 0x00462030;
/** Advisory and internal errors are not reported at power-on. */
const AER_SILENT = 0x0000e000;
const AER_CHECK_CAPABLE = 0x00a0;
const AER_CHECK_ENABLE = 0x0140;
const AER_MULTIPLE_HEADERS = 0x0200;
const AER_MULTIPLE_ENABLE = 0x0400;

export interface AerOptions {
  /** Adds the root error registers. */
  readonly root?: boolean;
  /** Several headers can be logged; ports can. Default false. */
  readonly multipleHeaders?: boolean;
  /** Space for the whole of the log of prefixes. Default true. */
  readonly prefixLog?: boolean;
  readonly at?: number;
}

/** Advanced error reporting. Returns the offset. */
export function addAer(device: PciDevice, options: AerOptions = {}): number {
  const { config } = device;
  const length = (options.prefixLog ?? true) ? AER_LENGTH : AER_LENGTH_SHORT;
  const at = config.addExtendedCapability(PCI_EXT_CAP_ID_ERR, 2, length, options.at);
  const sticky = 0xffffffff;
  config.define(at + 4, 4, { rw1c: AER_UNCORRECTABLE, sticky });
  config.define(at + 12, 4, { value: AER_FATAL, write: AER_UNCORRECTABLE, sticky });
  config.define(at + 16, 4, { rw1c: AER_CORRECTABLE, sticky });
  config.define(at + 20, 4, { value: AER_SILENT, write: AER_CORRECTABLE, sticky });
  const several = options.multipleHeaders ?? false;
  config.define(at + 24, 4, {
    value: AER_CHECK_CAPABLE | (several ? AER_MULTIPLE_HEADERS : 0),
    write: AER_CHECK_ENABLE | (several ? AER_MULTIPLE_ENABLE : 0),
    sticky,
  });
  if (options.root) {
    config.define(at + 44, 4, { write: 7 });
    config.define(at + 48, 4, { rw1c: 0x7f, sticky });
  }
  return at;
}

export interface AcsOptions {
  /** PCI_ACS_* bits the port has. Default SV, TB, RR, CR, UF, DT. */
  capability?: number;
  /** Bits switched on; a host whose IOMMU driver asks for ACS enables SV, RR, CR and UF. Default those. */
  control?: number;
  at?: number;
}

/** Access control services. Returns the offset. */
export function addAcs(device: PciDevice, options: AcsOptions = {}): number {
  const { capability = 0x5f, control = 0x1d, at } = options;
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
