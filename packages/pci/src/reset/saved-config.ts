// Saving and restoring a function's configuration around a reset (pci_save_state, pci_restore_state).
// Restore order matters: capability control words first, then the header from the top down so that COMMAND comes after
// the BARs it enables, then message interrupts, then access control and virtual functions.
import { findCapability, findExtendedCapability } from "../capability-list.ts";
import { restoreIov } from "../iov/physical-function.ts";
import * as regs from "../registers.ts";
import type { PciFunction } from "../topology/graph.ts";

export interface SavedConfig {
  readonly bytes: Uint8Array;
  /** The MSI-X table as the kernel programmed it; it lives in a BAR, and a reset clears it too. */
  readonly msixTable: Uint32Array | null;
}

export function saveConfig(fn: PciFunction): SavedConfig {
  return { bytes: fn.config.bytes.slice(), msixTable: fn.device.msix?.table.slice() ?? null };
}

/** Write a saved configuration back through the bus, so that only writable bits change. */
export function restoreConfig(fn: PciFunction, saved: SavedConfig): void {
  const view = new DataView(saved.bytes.buffer, saved.bytes.byteOffset, saved.bytes.length);
  const word = (at: number): void => fn.writeConfig(at, 2, view.getUint16(at, true));
  const dword = (at: number): void => fn.writeConfig(at, 4, view.getUint32(at, true));

  const express = findCapability(fn.config, regs.PCI_CAP_ID_EXP);
  if (express) for (const register of PCIE_CONTROL_WORDS) word(express + register);
  for (let at = 0x3c; at >= 0; at -= 4) dword(at);
  restoreMsi(fn, word, dword);
  restoreMsix(fn, saved, word);
  const acs = findExtendedCapability(fn.config, regs.PCI_EXT_CAP_ID_ACS);
  if (acs) word(acs + regs.PCI_ACS_CTRL);
  restoreIov(fn);
}

/** DEVCTL, LNKCTL, SLTCTL, RTCTL, DEVCTL2, LNKCTL2. */
const PCIE_CONTROL_WORDS = [8, 16, 24, 28, 40, 48];

function restoreMsi(fn: PciFunction, word: (at: number) => void, dword: (at: number) => void): void {
  const { msi } = fn.device;
  if (!msi) return;
  const flags = fn.config.read(msi.offset + regs.PCI_MSI_FLAGS, 2);
  const dataAt = flags & regs.PCI_MSI_FLAGS_64BIT ? 12 : 8;
  for (let at = 4; at < dataAt; at += 4) dword(msi.offset + at);
  word(msi.offset + dataAt);
  if (flags & regs.PCI_MSI_FLAGS_MASKBIT) dword(msi.offset + dataAt + 4);
  word(msi.offset + regs.PCI_MSI_FLAGS);
}

function restoreMsix(fn: PciFunction, saved: SavedConfig, word: (at: number) => void): void {
  const { msix } = fn.device;
  if (!msix || !saved.msixTable) return;
  const table = saved.msixTable;
  for (let n = 0; n < msix.vectors; n++) {
    msix.program(n, table[n * 4 + 1]!, table[n * 4]!, table[n * 4 + 2]!, (table[n * 4 + 3]! & 1) !== 0);
  }
  word(msix.offset + regs.PCI_MSIX_FLAGS);
}
