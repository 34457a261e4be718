// Where an INTx pin leads: up through the bridges, turning by device number at each (PCI-to-PCI Bridge 1.2, section 9.1),
// then into one of the host bridge's links. Firmware writes the link's legacy interrupt into the line register; the
// kernel, once it enables a function, uses the link's global system interrupt.
import { slotOf } from "../bdf.ts";
import { PCI_INTERRUPT_LINE, PCI_INTERRUPT_PIN } from "../registers.ts";
import type { InterruptWiring } from "../topology/description.ts";
import type { PciDomain, PciFunction } from "../topology/graph.ts";

const PINS = 4;

/** Write the line registers of a domain and tell every function what its pin is wired to. */
export function wireInterrupts(domain: PciDomain, wiring: InterruptWiring): void {
  for (const fn of domain.root.walk()) {
    const pin = fn.config.read(PCI_INTERRUPT_PIN, 1);
    if (pin === 0) continue;
    const { device, pin: rootPin } = atRoot(fn, pin - 1);
    const slots = wiring.slots.find(({ devices: [first, last] }) => device >= first && device <= last);
    if (!slots) continue;
    const link = slots.rotate ? (device + rootPin) % PINS : rootPin;
    fn.gsi = slots.gsi + link;
    fn.config.write(PCI_INTERRUPT_LINE, 1, wiring.lines[link] ?? 0);
    fn.irq = wiring.lines[link] ?? 0;
  }
}

/** Device number and pin (0 INTA .. 3 INTD) that a function's pin has become on the root bus. */
function atRoot(fn: PciFunction, pin: number): { device: number; pin: number } {
  let at = fn;
  let turned = pin;
  for (let bridge = fn.bus.bridge; bridge !== null; bridge = bridge.bus.bridge) {
    turned = (turned + slotOf(at.devfn)) % PINS;
    at = bridge;
  }
  return { device: slotOf(at.devfn), pin: turned };
}
