// A device model of @minivmm/pci plugged straight into the guest: its registers, its interrupts, and its DMA through
// whatever the machine translates bus addresses with.
import {
  type BarDescription,
  type DmaPort,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_PIN,
  type PciDevice,
  readBarAddress,
} from "@minivmm/pci/function";
import { BarWriteCounters, type BarWrites } from "./bar-writes.ts";
import { accessWidth, writeInAccesses } from "./burst.ts";
import type { EndpointWires, PciEndpoint } from "./endpoint.ts";
import { programMessages } from "./messages.ts";

/** Bus address in a BAR, -1 while COMMAND turns its space off. */
export function decodedBarAddress(device: PciDevice, bar: BarDescription): number {
  const enable = bar.type === "io" ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
  if ((device.config.read(PCI_COMMAND, 2) & enable) === 0 || bar.type === "rom") return -1;
  return readBarAddress(device.config, bar);
}

export class EmulatedEndpoint implements PciEndpoint {
  readonly name: string;
  readonly problems: readonly string[] = [];
  private readonly device: PciDevice;
  private readonly counters = new BarWriteCounters();

  constructor(name: string, device: PciDevice, dma: DmaPort) {
    this.name = name;
    this.device = device;
    // A function reaches memory only while COMMAND lets it master the bus.
    device.dma = {
      read: (hi, lo, into, attributes) => device.busMaster && dma.read(hi, lo, into, attributes),
      write: (hi, lo, from, attributes) => device.busMaster && dma.write(hi, lo, from, attributes),
    };
  }

  get configSize(): number {
    return this.device.config.size;
  }

  get bars(): readonly BarDescription[] {
    return this.device.bars;
  }

  get interruptPin(): number {
    return this.device.config.read(PCI_INTERRUPT_PIN, 1);
  }

  get msiVectors(): number {
    return this.device.msi?.vectors ?? 0;
  }

  get msixVectors(): number {
    return this.device.msix?.vectors ?? 0;
  }

  connect(wires: EndpointWires): void {
    this.device.irq = {
      intx: (level) => wires.intx(level),
      msi: (_vector, hi, lo, data) => wires.message(hi, lo, data),
    };
  }

  readConfig(offset: number, width: 1 | 2 | 4): number {
    return this.device.config.read(offset, width);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.device.config.write(offset, width, value);
  }

  barAddress(bar: BarDescription): number {
    return decodedBarAddress(this.device, bar);
  }

  readBar(index: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    this.device.readBar(index, offset, width, out);
  }

  writeBar(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    this.counters.write(index, width);
    this.device.writeBar(index, offset, width, lo, hi);
  }

  writeBurst(index: number, offset: number, bytes: Uint8Array): void {
    const single = accessWidth(offset, bytes.length) === bytes.length;
    if (single || this.device.writeBarBurst === undefined) {
      writeInAccesses(this, index, offset, bytes);
      return;
    }
    this.counters.burst(index, bytes.length);
    this.device.writeBarBurst(index, offset, bytes);
  }

  barWrites(): readonly BarWrites[] {
    return this.counters.list();
  }

  programMessages(kind: "msi" | "msix", hi: number, lo: number, firstData: number, count: number): void {
    programMessages(this.device, kind, hi, lo, firstData, count);
  }

  /** The line follows the device's own level; nothing is latched on the way. */
  intxEnded(): void {}

  close(): void {
    this.device.close();
  }
}
