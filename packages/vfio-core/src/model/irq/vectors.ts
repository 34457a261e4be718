/**
 * The host's side of message interrupts: it programs address, data, masks and enable bits into the function.
 *
 * Messages of the modelled host carry no meaning beyond the vector: the plug tells the vector by its number. The
 * address is the MSI window of the platform, so that a bus trace looks like one. Memory decode is on while a table in
 * a BAR is written, whatever the user set. Source: drivers/pci/msi.
 */
import type { PciFunction } from "@minivmm/pci";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../config/header.ts";

const MSI_ADDRESS = 0xfee00000;
const FIRST_VECTOR = 0x40;
const MSI_FLAGS = 2;
const MSI_QSIZE = 0x70;

export function allocateVectors(fn: PciFunction, msix: boolean, count: number): void {
  const { device } = fn;
  if (msix) {
    withMemory(fn, () => {
      for (let vector = 0; vector < (device.msix?.vectors ?? 0); vector++) {
        device.msix?.program(vector, 0, MSI_ADDRESS, FIRST_VECTOR + vector, true);
      }
    });
    device.msix?.setControl(true);
    return;
  }
  const { msi } = device;
  if (!msi) return;
  const flags = fn.readConfig(msi.offset + MSI_FLAGS, 2) & ~MSI_QSIZE;
  fn.writeConfig(msi.offset + MSI_FLAGS, 2, flags | (Math.ceil(Math.log2(count)) << 4));
  msi.program(0, MSI_ADDRESS, FIRST_VECTOR, true);
}

export function unmaskVector(fn: PciFunction, vector: number, on: boolean): void {
  withMemory(fn, () => fn.device.msix?.program(vector, 0, MSI_ADDRESS, FIRST_VECTOR + vector, !on));
}

export function releaseVectors(fn: PciFunction, msix: boolean): void {
  if (msix) fn.device.msix?.setControl(false);
  else fn.device.msi?.program(0, 0, 0, false);
}

function withMemory(fn: PciFunction, action: () => void): void {
  const command = fn.readConfig(PCI_COMMAND, 2);
  if (!(command & PCI_COMMAND_MEMORY)) fn.writeConfig(PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
  action();
  if (!(command & PCI_COMMAND_MEMORY)) fn.writeConfig(PCI_COMMAND, 2, command);
}
