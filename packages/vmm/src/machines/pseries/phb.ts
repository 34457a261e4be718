// The PCI host bridge: which function answers a configuration address, which BAR a CPU address reaches, and which
// interrupt source a pin or a message raises. One bus, one function a slot, slots 1 to 31.
// Source: PAPR 2.7 section 7.3.5 (configuration address format), PCI Local Bus 3.0 section 6.2.5.
// Invariants: decoding follows the BAR and COMMAND registers as the guest last wrote them; overlapping BARs are
// answered by the lowest slot; accesses that nothing claims read as ones and are counted.
import { PCI_BASE_ADDRESS_0, PCI_COMMAND, PCI_STATUS } from "@minivmm/pci";
import { VmmError } from "../../errors.ts";
import type { BarDescription, PciEndpoint } from "../../pci/endpoint.ts";
import {
  IO_WINDOW,
  IRQ_PCI_LSI,
  MEM32_WINDOW,
  MEM64_WINDOW,
  MSI_WINDOW_HI,
  MSI_WINDOW_LO,
  type PciWindow,
} from "./memory-map.ts";
import type { Xics } from "./xics.ts";

export interface PhbSlot {
  readonly slot: number;
  readonly endpoint: PciEndpoint;
}

interface Decode {
  readonly start: number;
  readonly end: number;
  readonly endpoint: PciEndpoint;
  readonly bar: number;
}

const LSI_COUNT = 4;
const BAR_REGISTERS_END = PCI_BASE_ADDRESS_0 + 24;

export class Phb {
  readonly slots: PhbSlot[] = [];
  /** Accesses to a PCI window that no BAR decodes. */
  unclaimed = 0;
  private readonly xics: Xics;
  private decodes: Decode[] = [];
  private last: Decode | undefined;
  /** Slots that hold each of the four lines high. */
  private readonly lines: Set<number>[] = Array.from({ length: LSI_COUNT }, () => new Set<number>());

  constructor(xics: Xics) {
    this.xics = xics;
    for (let line = 0; line < LSI_COUNT; line++) xics.claim(IRQ_PCI_LSI + line, "level", `pci INTx ${line}`);
  }

  /** Plugs a function into a slot (default: the lowest free one). Throws VmmError USAGE_DEVICE when it cannot go there. */
  plug(endpoint: PciEndpoint, wanted?: number): number {
    const taken = new Set(this.slots.map(({ slot }) => slot));
    let slot = wanted ?? 1;
    while (wanted === undefined && taken.has(slot)) slot++;
    if (!Number.isInteger(slot) || slot < 1 || slot > 31 || taken.has(slot)) {
      const why = taken.has(slot) ? "another device is there" : "slots are 1 to 31";
      throw new VmmError(`device ${endpoint.name}: cannot use PCI slot ${slot}: ${why}`, {
        code: "USAGE_DEVICE",
        details: { slot, device: endpoint.name },
      });
    }
    this.slots.push({ slot, endpoint });
    this.slots.sort((a, b) => a.slot - b.slot);
    const line = endpoint.interruptPin > 0 ? (slot + endpoint.interruptPin - 1) % LSI_COUNT : 0;
    endpoint.connect({
      intx: (level) => this.setPin(line, slot, level),
      message: (hi, lo, data) => this.message(hi, lo, data),
    });
    return slot;
  }

  /** Interrupt source of a pin: the same swizzle as the device tree's interrupt-map. */
  static lsiOf(slot: number, pin: number): number {
    return IRQ_PCI_LSI + ((slot + pin - 1) % LSI_COUNT);
  }

  /** The function at a configuration address (bus << 16 | devfn << 8), undefined when there is none. */
  endpointAt(configAddress: number): PciEndpoint | undefined {
    const bus = (configAddress >>> 16) & 0xff;
    const devfn = (configAddress >>> 8) & 0xff;
    if (bus !== 0 || (devfn & 7) !== 0) return undefined;
    return this.slots.find(({ slot }) => slot === devfn >> 3)?.endpoint;
  }

  /** The functions on a bus that are passed through. */
  passedThrough(bus: number): PciEndpoint[] {
    if (bus !== 0) return [];
    return this.slots.flatMap(({ endpoint }) => (endpoint.prepareReset === undefined ? [] : [endpoint]));
  }

  /** Configuration read; -1 (no such register) becomes RTAS's hardware error. */
  readConfig(configAddress: number, size: number): number {
    const endpoint = this.endpointAt(configAddress);
    const offset = registerOf(configAddress);
    if (endpoint === undefined || !validConfig(endpoint, offset, size)) return -1;
    return endpoint.readConfig(offset, size as 1 | 2 | 4) >>> 0;
  }

  writeConfig(configAddress: number, size: number, value: number): boolean {
    const endpoint = this.endpointAt(configAddress);
    const offset = registerOf(configAddress);
    if (endpoint === undefined || !validConfig(endpoint, offset, size)) return false;
    endpoint.writeConfig(offset, size as 1 | 2 | 4, value);
    if (offset < BAR_REGISTERS_END && offset + size > PCI_COMMAND && offset !== PCI_STATUS) this.updateDecoding();
    return true;
  }

  /** A load or store of the CPU in a PCI window. False: the address is in no window. `out` as in PciEndpoint.readBar. */
  read(address: number, size: 1 | 2 | 4 | 8, out: Uint32Array): boolean {
    const decode = this.find(address, size);
    if (decode !== undefined) {
      decode.endpoint.readBar(decode.bar, address - decode.start, size, out);
      return true;
    }
    out[0] = size === 4 || size === 8 ? 0xffffffff : 2 ** (size * 8) - 1;
    out[1] = size === 8 ? 0xffffffff : 0;
    return this.countUnclaimed(address);
  }

  write(address: number, size: 1 | 2 | 4 | 8, lo: number, hi: number): boolean {
    const decode = this.find(address, size);
    if (decode === undefined) return this.countUnclaimed(address);
    decode.endpoint.writeBar(decode.bar, address - decode.start, size, lo, hi);
    return true;
  }

  /** The guest ended `irq`: functions that hold that line look at their device again. */
  interruptEnded(irq: number): void {
    const line = irq - IRQ_PCI_LSI;
    const holders = this.lines[line];
    if (holders === undefined || holders.size === 0) return;
    for (const slot of [...holders]) this.slots.find((entry) => entry.slot === slot)?.endpoint.intxEnded();
  }

  close(): void {
    for (const { endpoint } of this.slots) endpoint.close();
  }

  private find(address: number, size: number): Decode | undefined {
    const last = this.last;
    if (last !== undefined && address >= last.start && address + size <= last.end) return last;
    for (const decode of this.decodes) {
      if (address >= decode.start && address + size <= decode.end) {
        this.last = decode;
        return decode;
      }
    }
    return undefined;
  }

  private countUnclaimed(address: number): boolean {
    const inside = inWindow(IO_WINDOW, address) || inWindow(MEM32_WINDOW, address) || inWindow(MEM64_WINDOW, address);
    if (inside) this.unclaimed++;
    return inside;
  }

  private updateDecoding(): void {
    this.last = undefined;
    this.decodes = [];
    for (const { endpoint } of this.slots) {
      for (const bar of endpoint.bars) {
        const bus = endpoint.barAddress(bar);
        const start = bus < 0 ? -1 : cpuAddress(bar, bus);
        if (start >= 0) this.decodes.push({ start, end: start + bar.size, endpoint, bar: bar.index });
      }
    }
  }

  private setPin(line: number, slot: number, level: boolean): void {
    const holders = this.lines[line]!;
    if (level) holders.add(slot);
    else holders.delete(slot);
    this.xics.setLevel(IRQ_PCI_LSI + line, holders.size > 0);
  }

  private message(hi: number, lo: number, data: number): void {
    if (hi === MSI_WINDOW_HI && lo === MSI_WINDOW_LO) this.xics.pulse(data & 0xffff);
  }
}

function registerOf(configAddress: number): number {
  return ((configAddress >>> 20) & 0xf00) | (configAddress & 0xff);
}

function validConfig(endpoint: PciEndpoint, offset: number, size: number): boolean {
  return (size === 1 || size === 2 || size === 4) && offset % size === 0 && offset < endpoint.configSize;
}

function inWindow(window: PciWindow, address: number): boolean {
  return address >= window.cpu && address < window.cpu + window.size;
}

/** CPU address of a BAR that lies wholly inside the window of its kind, else -1. */
function cpuAddress(bar: BarDescription, bus: number): number {
  const candidates = bar.type === "io" ? [IO_WINDOW] : [MEM32_WINDOW, MEM64_WINDOW];
  for (const window of candidates) {
    if (bus >= window.bus && bus + bar.size <= window.bus + window.size) return bus - window.bus + window.cpu;
  }
  return -1;
}
