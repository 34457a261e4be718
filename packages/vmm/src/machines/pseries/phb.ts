// The PCI host bridge of pseries: a root bus whose registers are reached by RTAS, whose windows lie in the CPU's address
// space (I/O ports too), and whose pins and messages are interrupt sources.
// Source: PAPR 2.7 section 7.3.5 (configuration address format).

import { BurstSplitter } from "../../pci/burst.ts";
import { type BusSlot, PciBus, pinLine } from "../../pci/bus.ts";
import type { DecodedRange } from "../../pci/decode.ts";
import type { PciEndpoint } from "../../pci/endpoint.ts";
import { IO_WINDOW, IRQ_PCI_LSI, MEM32_WINDOW, MEM64_WINDOW, MSI_WINDOW_HI, MSI_WINDOW_LO } from "./memory-map.ts";
import type { Xics } from "./xics.ts";

export type PhbSlot = BusSlot;

const LSI_COUNT = 4;

export class Phb extends PciBus {
  private readonly bursts = new BurstSplitter((address, bytes) => this.memory.writeBurst(address, bytes));

  /** `combinable` is told where stores may be combined, whenever that changes. */
  constructor(xics: Xics, combinable?: (ranges: readonly DecodedRange[]) => void) {
    super({
      memory: [MEM32_WINDOW, MEM64_WINDOW],
      io: [IO_WINDOW],
      pins: { first: IRQ_PCI_LSI, count: LSI_COUNT },
      setInput: (irq, level) => xics.setLevel(irq, level),
      message: (hi, lo, data) => {
        if (hi === MSI_WINDOW_HI && lo === MSI_WINDOW_LO) xics.pulse(data & 0xffff);
      },
      ...(combinable === undefined ? {} : { combinable }),
    });
    for (let line = 0; line < LSI_COUNT; line++) xics.claim(IRQ_PCI_LSI + line, "level", `pci INTx ${line}`);
  }

  /** Interrupt source of a pin, as the device tree's interrupt-map says. */
  static lsiOf(slot: number, pin: number): number {
    return IRQ_PCI_LSI + pinLine(slot, pin, LSI_COUNT);
  }

  /** The function at a configuration address (bus << 16 | devfn << 8), undefined when there is none. */
  endpointAt(configAddress: number): PciEndpoint | undefined {
    return busOf(configAddress) === 0 ? this.functionAt(devfnOf(configAddress)) : undefined;
  }

  /** The functions on a bus that are passed through. */
  passedThrough(bus: number): PciEndpoint[] {
    if (bus !== 0) return [];
    return this.slots.flatMap(({ endpoint }) => (endpoint.prepareReset === undefined ? [] : [endpoint]));
  }

  /** Configuration read; -1 (no such register) becomes RTAS's hardware error. */
  readConfig(configAddress: number, size: number): number {
    if (busOf(configAddress) !== 0) return -1;
    return this.configRead(devfnOf(configAddress), registerOf(configAddress), size);
  }

  writeConfig(configAddress: number, size: number, value: number): boolean {
    if (busOf(configAddress) !== 0) return false;
    return this.configWrite(devfnOf(configAddress), registerOf(configAddress), size, value);
  }

  /** A load or store of the CPU in a PCI window. False: the address is in no window. `out` as in PciEndpoint.readBar. */
  read(address: number, size: 1 | 2 | 4 | 8, out: Uint32Array): boolean {
    return this.memory.read(address, size, out) || this.io.read(address, size, out);
  }

  write(address: number, size: 1 | 2 | 4 | 8, lo: number, hi: number): boolean {
    return this.memory.write(address, size, lo, hi) || this.io.write(address, size, lo, hi);
  }

  /** Stores that the CPU has combined: those of the 64 bytes at `address` that the mask names (bit n of hi:lo is byte n). */
  writeBurst(address: number, lo: number, hi: number, bytes: Uint8Array): void {
    this.bursts.split(address, lo, hi, bytes);
  }

  /** The guest ended `irq`. */
  interruptEnded(irq: number): void {
    this.pinEnded(irq);
  }
}

function busOf(configAddress: number): number {
  return (configAddress >>> 16) & 0xff;
}

function devfnOf(configAddress: number): number {
  return (configAddress >>> 8) & 0xff;
}

function registerOf(configAddress: number): number {
  return ((configAddress >>> 20) & 0xf00) | (configAddress & 0xff);
}
