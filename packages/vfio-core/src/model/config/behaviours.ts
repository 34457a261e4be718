/**
 * Writes to configuration space that do more than store bits: COMMAND, power state, FLR, MSI control, VPD.
 *
 * Source: vfio_basic_config_write, vfio_pm_config_write, vfio_exp_config_write, vfio_af_config_write,
 * vfio_msi_config_write, vfio_vpd_config_write. Each gets a chunk that lies inside one capability.
 */
import { PCI_CAP_ID_AF, PCI_CAP_ID_EXP, PCI_CAP_ID_MSI, PCI_CAP_ID_PM, PCI_CAP_ID_VPD } from "./capability-table.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  touchesBar,
} from "./header.ts";
import { HEADER } from "./permissions.ts";
import type { ConfigTarget } from "./target.ts";

export type Behaviour = (config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number) => void;

const EXP_DEVCAP = 4;
const EXP_DEVCTL = 8;
const DEVCAP_FLR = 0x10000000;
const DEVCTL_FLR = 0x8000;
const DEVCTL_READRQ = 0x7000;
const DEVCTL_PAYLOAD = 0xe0;
const AF_CAP_FLR_TP = 3;
const MSI_ENABLE = 1;
const MSI_QSIZE = 0x70;
const VPD_F = 0x8000;
const DECODE = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;

function header(config: ConfigTarget, _start: number, at: number, size: 1 | 2 | 4, value: number): void {
  if (at === PCI_COMMAND) commandDecode(config, value);
  config.storeChunk(at, size, value);
  if (at === PCI_COMMAND) {
    config.setVirtual(at, 1, (config.virtual(at, 1) & ~DECODE) | (value & DECODE));
  }
  if (at >= PCI_COMMAND && at <= PCI_COMMAND + 1) {
    const disable = (config.virtual(PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) !== 0;
    if (disable !== config.intxDisabled) {
      config.intxDisabled = disable;
      config.effects.intxDisable(disable);
    }
  }
  if (touchesBar(at, size)) config.barsDirty = true;
}

/** Before COMMAND is stored: mappings go when decode goes; BARs that a reset behind our back lost come back. */
function commandDecode(config: ConfigTarget, value: number): void {
  if (!(value & PCI_COMMAND_MEMORY)) config.effects.memoryDisabled();
  const virtual = config.virtual(PCI_COMMAND, 2);
  const physical = config.hw.read(PCI_COMMAND, 2);
  const lost = value & virtual & ~physical & DECODE;
  // A virtual function has no registers to put back.
  if (!config.isVirtual && (lost !== 0 || barsLost(config))) restoreBars(config);
}

function barsLost(config: ConfigTarget): boolean {
  return config.bars.some(
    (bar, i) => i < 6 && bar.size > 0 && (config.hw.read(barAt(i), 4) & ~0xf) >>> 0 !== low(bar.bus),
  );
}

function restoreBars(config: ConfigTarget): void {
  config.bars.forEach((bar, i) => {
    if (i >= 6 || bar.size === 0) return;
    config.hw.write(barAt(i), 4, low(bar.bus));
    if (bar.wide) config.hw.write(barAt(i + 1), 4, Math.floor(bar.bus / 0x1_0000_0000));
  });
}

const barAt = (index: number) => PCI_BASE_ADDRESS_0 + 4 * index;
const low = (address: number) => (address & ~0xf) >>> 0;

function power(config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number): void {
  config.storeChunk(at, size, value);
  if (at === start + 4) config.effects.powerState(value & 3);
}

function express(config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number): void {
  const ctrl = start + EXP_DEVCTL;
  const before = config.virtual(ctrl, 2);
  config.storeChunk(at, size, value);
  const after = config.virtual(ctrl, 2);
  if (after & DEVCTL_FLR) {
    config.setVirtual(ctrl, 2, after & ~DEVCTL_FLR);
    if (config.hw.read(start + EXP_DEVCAP, 4) & DEVCAP_FLR) config.effects.functionReset();
  }
  if ((before ^ after) & DEVCTL_READRQ) {
    // Never below the physical payload size: that would only slow the device down.
    const physical = config.hw.read(ctrl, 2);
    const request = Math.max((after & DEVCTL_READRQ) >> 12, (physical & DEVCTL_PAYLOAD) >> 5);
    config.hw.write(ctrl, 2, (physical & ~DEVCTL_READRQ) | (request << 12));
  }
}

function advancedFeatures(config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number): void {
  config.storeChunk(at, size, value);
  const ctrl = start + 4;
  if (!(config.virtual(ctrl, 1) & 1)) return;
  config.setVirtual(ctrl, 1, config.virtual(ctrl, 1) & ~1);
  if ((config.hw.read(start + 3, 1) & AF_CAP_FLR_TP) === AF_CAP_FLR_TP) config.effects.functionReset();
}

function msi(config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number): void {
  config.storeChunk(at, size, value);
  const flagsAt = start + 2;
  if (at > flagsAt || at + size < flagsAt + 1) return;
  let flags = config.virtual(flagsAt, 2);
  if (!config.effects.msiActive()) flags &= ~MSI_ENABLE;
  const limit = config.effects.msiQueueSize();
  if ((flags & MSI_QSIZE) >> 4 > limit) flags = (flags & ~MSI_QSIZE) | (limit << 4);
  config.setVirtual(flagsAt, 2, flags);
  config.hw.write(flagsAt, 2, flags);
}

function vitalProductData(config: ConfigTarget, start: number, at: number, size: 1 | 2 | 4, value: number): void {
  config.storeChunk(at, size, value);
  const high = start + 3;
  if (at > high || at + size <= high) return;
  const address = config.virtual(start + 2, 2);
  if (address & VPD_F) {
    config.hw.write(start + 4, 4, config.virtual(start + 4, 4));
    config.hw.write(start + 2, 2, address);
  } else {
    config.hw.write(start + 2, 2, address);
    if (!(config.hw.read(start + 2, 2) & VPD_F)) return;
    config.setVirtual(start + 4, 4, config.hw.read(start + 4, 4));
  }
  config.setVirtual(start + 2, 2, address ^ VPD_F);
}

const BEHAVIOURS: ReadonlyMap<number, Behaviour> = new Map<number, Behaviour>([
  [HEADER, header],
  [PCI_CAP_ID_PM, power],
  [PCI_CAP_ID_VPD, vitalProductData],
  [PCI_CAP_ID_MSI, msi],
  [PCI_CAP_ID_EXP, express],
  [PCI_CAP_ID_AF, advancedFeatures],
]);

/** Extended capabilities reuse small ids, so the table only holds below 0x100. */
export function behaviourOf(owner: number, at: number): Behaviour | undefined {
  return at < 0x100 ? BEHAVIOURS.get(owner) : undefined;
}
