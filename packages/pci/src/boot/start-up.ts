// What a running host has done to its functions before anybody looks: firmware switched decoding on and wrote interrupt
// lines, the kernel took over USB controllers and started its port drivers.
import { PCI_CLASS_REVISION, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_MASTER } from "../registers.ts";
import type { DomainDescription, FunctionDescription } from "../topology/description.ts";
import type { PciDomain, PciFunction } from "../topology/graph.ts";
import { wireInterrupts } from "./interrupts.ts";
import { startPorts } from "./ports.ts";

/** USB controllers: the kernel enables each for a moment to take it from firmware (quirk_usb_early_handoff). */
const CLASS_USB = 0x0c03;
/** Where the ROM of the first display is, on every PC. */
const SHADOW = { address: 0xc_0000, size: 0x2_0000 } as const;

export function startUp(
  domain: PciDomain,
  description: DomainDescription,
  origins: ReadonlyMap<PciFunction, FunctionDescription>,
): void {
  const { command, interrupts, ports } = description;
  if (interrupts) wireInterrupts(domain, interrupts);
  for (const fn of domain.root.walk()) {
    const origin = origins.get(fn);
    const left = origin?.command ?? command;
    if (left !== undefined) fn.config.write(PCI_COMMAND, 2, fn.isBridge ? left | PCI_COMMAND_MASTER : left);
    if (fn.config.read(PCI_CLASS_REVISION, 4) >>> 16 === CLASS_USB) fn.routeInterrupt();
    if (origin?.messages) useMessages(fn);
    if (origin?.shadowRom) fn.shadowRom = { ...SHADOW, contents: origin.shadowRom };
  }
  if (ports) startPorts(domain, ports);
}

/** A driver of the host runs the function by messages. */
function useMessages(fn: PciFunction): void {
  fn.routeInterrupt();
  fn.device.msix?.setControl(true);
  fn.config.write(PCI_COMMAND, 2, fn.device.command | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}
