// What the kernel's drivers of PCI Express ports leave in registers: bridges forward errors and report their own, root
// ports collect them, hot-plug slots announce changes, and each port with a service has one message enabled.
// Source: drivers/pci/pcie (portdrv.c, aer.c), drivers/pci/hotplug/pciehp_hpc.c, drivers/pci/probe.c
// (pci_configure_serr). Linux 6.1 took an interrupt for upstream ports, too.
import * as regs from "../registers.ts";
import type { PortServices } from "../topology/description.ts";
import type { PciDomain, PciFunction } from "../topology/graph.ts";

const ERROR_REPORTING = 0x000f;
const ROOT_ERRORS = 0x0007;
/** Attention button, command completed, and the hot-plug interrupt itself. */
const SLOT_EVENTS = 0x0031;
const SHPC_DWORD_SELECT = 2;
/** The last dword of the working register set: the driver reads all of it while it starts. */
const SHPC_LAST_DWORD = 0x27;
/** Remappable message: 0xfee in front, format bit, subhandle valid, entry number from bit 5 up (VT-d 5.1.2.2). */
const REMAPPABLE = 0xfee0_0018;

export function startPorts(domain: PciDomain, services: PortServices): void {
  const messages = new Messages(services);
  // Port drivers start bus by bus, a whole bus before what its bridges lead to.
  const queue = [domain.root];
  for (const bus of queue) {
    for (const fn of bus.functions) {
      if (fn.isBridge) startPort(fn, services, messages);
      if (fn.secondary) queue.push(fn.secondary);
    }
  }
}

function startPort(fn: PciFunction, services: PortServices, messages: Messages): void {
  const { config } = fn;
  const control = config.read(regs.PCI_BRIDGE_CONTROL, 2);
  config.write(regs.PCI_BRIDGE_CONTROL, 2, control | regs.PCI_BRIDGE_CTL_SERR);
  fn.routeInterrupt();
  const shpc = config.findCapability(regs.PCI_CAP_ID_SHPC);
  if (shpc) config.write(shpc + SHPC_DWORD_SELECT, 1, SHPC_LAST_DWORD);
  const express = config.findCapability(regs.PCI_CAP_ID_EXP);
  if (!express) return;
  const errors = config.findExtendedCapability(regs.PCI_EXT_CAP_ID_ERR);
  if (errors) setBits(fn, express + regs.PCI_EXP_DEVCTL, ERROR_REPORTING);
  if (fn.driver !== "pcieport") return;
  const hotplug = (config.read(express + regs.PCI_EXP_SLTCAP, 4) & regs.PCI_EXP_SLTCAP_HPC) !== 0;
  const root = fn.pcieType === regs.PCI_EXP_TYPE_ROOT_PORT;
  if (hotplug) setBits(fn, express + regs.PCI_EXP_SLTCTL, SLOT_EVENTS);
  if (root && errors) setBits(fn, errors + regs.PCI_ERR_ROOT_COMMAND, ROOT_ERRORS);
  if (root || hotplug || (services.upstream && fn.pcieType === regs.PCI_EXP_TYPE_UPSTREAM)) messages.enable(fn);
}

function setBits(fn: PciFunction, at: number, bits: number): void {
  fn.config.write(at, 2, fn.config.read(at, 2) | bits);
}

/** Hands out interrupt numbers and remapping entries in the order in which drivers ask. */
class Messages {
  #irq: number;
  #entry: number | null;

  constructor({ firstIrq, remapping }: PortServices) {
    this.#irq = firstIrq;
    this.#entry = remapping ?? null;
  }

  enable(fn: PciFunction): void {
    const { device } = fn;
    const irq = this.#irq++;
    const address = this.#entry === null ? 0xfee0_0000 : REMAPPABLE + this.#entry++ * 32;
    if (device.msix) {
      device.msix.program(0, 0, address, 0);
      device.msix.setControl(true);
    } else if (device.msi) {
      device.msi.program(0, address, 0);
      // A single message takes the function's own interrupt number; MSI-X leaves it alone.
      fn.irq = irq;
    } else return;
    setBits(fn, regs.PCI_COMMAND, regs.PCI_COMMAND_INTX_DISABLE);
  }
}
