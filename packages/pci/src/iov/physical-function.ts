// What the kernel does with the SR-IOV capability of a physical function when it adds it and when it brings its state
// back after a reset. Source: sriov_init, sriov_restore_state, pci_iov_set_numvfs of drivers/pci/iov.c; pci_configure_ari.
import type { Sriov } from "../caps/sriov.ts";
import * as regs from "../registers.ts";
import type { PciBus, PciFunction } from "../topology/graph.ts";
import { IovState } from "../topology/iov-state.ts";

/** The port above forwards by alternative routing id when it can and function 0 below asks for it. */
export function configureAri(fn: PciFunction): void {
  const port = fn.bus.bridge;
  if (port === null || fn.devfn !== 0) return;
  const express = port.config.findCapability(regs.PCI_CAP_ID_EXP);
  if (express === 0 || !(port.config.read(express + regs.PCI_EXP_DEVCAP2, 4) & regs.PCI_EXP_DEVCAP2_ARI)) return;
  const on = fn.config.findExtendedCapability(regs.PCI_EXT_CAP_ID_ARI) !== 0;
  const control = port.config.read(express + regs.PCI_EXP_DEVCTL2, 2) & ~regs.PCI_EXP_DEVCTL2_ARI;
  port.config.write(express + regs.PCI_EXP_DEVCTL2, 2, on ? control | regs.PCI_EXP_DEVCTL2_ARI : control);
}

export function ariEnabled(bus: PciBus): boolean {
  const express = bus.bridge?.config.findCapability(regs.PCI_CAP_ID_EXP) ?? 0;
  return (
    express !== 0 &&
    ((bus.bridge?.config.read(express + regs.PCI_EXP_DEVCTL2, 2) ?? 0) & regs.PCI_EXP_DEVCTL2_ARI) !== 0
  );
}

/** Prepare the capability of a function that is being added to its bus; nothing happens without one. */
export function initIov(fn: PciFunction): void {
  const { sriov } = fn.device;
  if (!sriov || sriov.totalVfs === 0) return;
  sriov.setFunction(fn.devfn);
  // One physical function of a device speaks for all of them.
  const first = !fn.bus.functions.some((other) => other.iov !== null);
  const control = first && ariEnabled(fn.bus) ? regs.PCI_SRIOV_CTRL_ARI : 0;
  const { config } = fn;
  config.write(sriov.offset + regs.PCI_SRIOV_CTRL, 2, control);
  const usable = config.read(sriov.offset + regs.PCI_SRIOV_SUP_PGSIZE, 4) & -(fn.bus.domain.barAlignment / 4096);
  if (usable === 0) return;
  config.write(sriov.offset + regs.PCI_SRIOV_SYS_PGSIZE, 4, usable & -usable);
  const bars = sriov.bars.map((bar) => ({ ...bar, size: sriov.apertureOf(bar), address: 0, busAddress: 0 }));
  const iov = new IovState<PciFunction>(sriov.totalVfs, bars, control);
  // A stride or an offset of zero would put virtual functions on top of each other.
  setNumVfs(fn, sriov, iov, sriov.totalVfs);
  const sound = iov.offset > 0 && (sriov.totalVfs === 1 || iov.stride > 0);
  setNumVfs(fn, sriov, iov, 0);
  if (sound) fn.iov = iov;
}

export function setNumVfs(fn: PciFunction, sriov: Sriov, iov: IovState<PciFunction>, count: number): void {
  fn.writeConfig(sriov.offset + regs.PCI_SRIOV_NUM_VF, 2, count);
  iov.offset = fn.readConfig(sriov.offset + regs.PCI_SRIOV_VF_OFFSET, 2);
  iov.stride = fn.readConfig(sriov.offset + regs.PCI_SRIOV_VF_STRIDE, 2);
}

/** Put the addresses that firmware or kernel chose into the capability. */
export function programVfBars(fn: PciFunction, sriov: Sriov, iov: IovState<PciFunction>): void {
  const at = sriov.offset + regs.PCI_SRIOV_BAR;
  for (const bar of iov.bars) {
    fn.writeConfig(at + 4 * bar.index, 4, bar.busAddress % 0x1_0000_0000);
    if (bar.type === "mem64") fn.writeConfig(at + 4 * bar.index + 4, 4, Math.floor(bar.busAddress / 0x1_0000_0000));
  }
}

/** After a reset of the physical function: virtual functions that the kernel still counts on come back, reset. */
export function restoreIov(fn: PciFunction): void {
  const { iov } = fn;
  const { sriov } = fn.device;
  if (!iov || !sriov) return;
  const control = fn.readConfig(sriov.offset + regs.PCI_SRIOV_CTRL, 2);
  if (control & regs.PCI_SRIOV_CTRL_VFE) return;
  const ari = (control & ~regs.PCI_SRIOV_CTRL_ARI) | (iov.control & regs.PCI_SRIOV_CTRL_ARI);
  fn.writeConfig(sriov.offset + regs.PCI_SRIOV_CTRL, 2, ari);
  programVfBars(fn, sriov, iov);
  const pages = Math.max(1, fn.bus.domain.barAlignment / 4096);
  const usable = fn.readConfig(sriov.offset + regs.PCI_SRIOV_SUP_PGSIZE, 4) & -pages;
  fn.writeConfig(sriov.offset + regs.PCI_SRIOV_SYS_PGSIZE, 4, usable & -usable);
  setNumVfs(fn, sriov, iov, iov.numVfs);
  fn.writeConfig(sriov.offset + regs.PCI_SRIOV_CTRL, 2, iov.control);
}
