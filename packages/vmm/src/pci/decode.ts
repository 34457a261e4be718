// Which BAR of a root bus answers an address of the CPU: the table of what functions decode, in one address space
// (memory, or I/O ports where those are an address space of their own).
// Source: PCI Local Bus 3.0 section 6.2.5.
// Invariants: a BAR is decoded where it lies wholly inside a window; an access is answered by the lowest slot that decodes
// all of it, within a function by its lowest BAR; accesses that nothing claims read as ones and are counted.
import { writeInAccesses } from "./burst.ts";
import type { BarDescription, PciEndpoint } from "./endpoint.ts";

/** Addresses that a host bridge forwards: where the CPU sees them, and what the bus calls them. Sizes in bytes. */
export interface BusWindow {
  readonly cpu: number;
  readonly bus: number;
  readonly size: number;
}

/** CPU addresses from `start` up to, not including, `end`. */
export interface DecodedRange {
  readonly start: number;
  readonly end: number;
}

/** A BAR of a function on the bus. */
export interface DecodedBar {
  readonly slot: number;
  readonly endpoint: PciEndpoint;
  readonly bar: BarDescription;
  /** CPU address, -1 while the BAR is not decoded. */
  readonly start: number;
  /** No BAR that goes before this one decodes any of its addresses. */
  readonly alone: boolean;
}

interface Decode extends DecodedBar {
  start: number;
  /** -1 while the BAR is not decoded. */
  end: number;
  alone: boolean;
  /** What the endpoint was told last. */
  told: number;
}

export class DecodeTable {
  /** Accesses inside a window that no BAR decodes. */
  unclaimed = 0;
  private readonly windows: readonly BusWindow[];
  /** In order of slots. */
  private readonly entries: Decode[] = [];
  private last: Decode | undefined;

  constructor(windows: readonly BusWindow[]) {
    this.windows = windows;
  }

  add(slot: number, endpoint: PciEndpoint, bar: BarDescription): void {
    this.entries.push({ slot, endpoint, bar, start: -1, end: -1, alone: false, told: -1 });
    this.entries.sort((a, b) => a.slot - b.slot);
  }

  /** The function's registers may have changed. Whether any of its BARs is decoded elsewhere, or no more, or again. */
  update(endpoint: PciEndpoint): boolean {
    let changed = false;
    for (const entry of this.entries) {
      if (entry.endpoint !== endpoint) continue;
      const start = this.place(entry.bar, endpoint.barAddress(entry.bar));
      if (start === entry.start) continue;
      entry.start = start;
      entry.end = start < 0 ? -1 : start + entry.bar.size;
      changed = true;
    }
    if (!changed) return false;
    this.last = undefined;
    this.findOverlaps();
    this.tell();
    return true;
  }

  /** Where stores may be combined: prefetchable BARs that no other BAR answers for. */
  combinable(): DecodedRange[] {
    return this.entries
      .filter(({ alone, bar, endpoint }) => alone && bar.prefetchable && endpoint.writeBurst !== undefined)
      .map(({ start, end }) => ({ start, end }));
  }

  /** Every BAR, and where it is. */
  bars(): readonly DecodedBar[] {
    return this.entries;
  }

  /** False: the address is in no window. `out` as in PciEndpoint.readBar. */
  read(address: number, width: 1 | 2 | 4 | 8, out: Uint32Array): boolean {
    const entry = this.find(address, width);
    if (entry !== undefined) {
      entry.endpoint.readBar(entry.bar.index, address - entry.start, width, out);
      return true;
    }
    readOnes(width, out);
    return this.countUnclaimed(address);
  }

  write(address: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): boolean {
    const entry = this.find(address, width);
    if (entry === undefined) return this.countUnclaimed(address);
    entry.endpoint.writeBar(entry.bar.index, address - entry.start, width, lo, hi);
    return true;
  }

  /** Stores of consecutive bytes that were combined. The bytes are the caller's. */
  writeBurst(address: number, bytes: Uint8Array): boolean {
    const entry = this.find(address, bytes.length);
    if (entry === undefined) return this.countUnclaimed(address);
    const { endpoint, bar, start } = entry;
    if (bar.prefetchable && endpoint.writeBurst !== undefined) endpoint.writeBurst(bar.index, address - start, bytes);
    else writeInAccesses(endpoint, bar.index, address - start, bytes);
    return true;
  }

  private find(address: number, width: number): Decode | undefined {
    const end = address + width;
    const last = this.last;
    if (last !== undefined && address >= last.start && end <= last.end) return last;
    for (const entry of this.entries) {
      if (address < entry.start || end > entry.end) continue;
      // One that shares addresses with a BAR before it must not answer for that one.
      if (entry.alone) this.last = entry;
      return entry;
    }
    return undefined;
  }

  /** CPU address of a BAR at a bus address, -1 when no window holds all of it. */
  private place(bar: BarDescription, bus: number): number {
    if (bus < 0) return -1;
    for (const window of this.windows) {
      if (bus >= window.bus && bus + bar.size <= window.bus + window.size) return bus - window.bus + window.cpu;
    }
    return -1;
  }

  private findOverlaps(): void {
    const { entries } = this;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      entry.alone = entry.start >= 0;
      for (let j = 0; j < i && entry.alone; j++) {
        const other = entries[j]!;
        entry.alone = other.end <= entry.start || other.start >= entry.end;
      }
    }
  }

  /** What is decoded no more goes first, so that two functions never hold one address. */
  private tell(): void {
    for (const entry of this.entries) {
      if (entry.told >= 0 && entry.told !== tellable(entry)) tellEndpoint(entry, -1);
    }
    for (const entry of this.entries) {
      if (entry.told !== tellable(entry)) tellEndpoint(entry, tellable(entry));
    }
  }

  private countUnclaimed(address: number): boolean {
    for (const window of this.windows) {
      if (address < window.cpu || address >= window.cpu + window.size) continue;
      this.unclaimed++;
      return true;
    }
    return false;
  }
}

/** What a read gives where nothing answers. */
export function readOnes(width: 1 | 2 | 4 | 8, out: Uint32Array): void {
  out[0] = width >= 4 ? 0xffffffff : 2 ** (width * 8) - 1;
  out[1] = width === 8 ? 0xffffffff : 0;
}

function tellable({ alone, start }: Decode): number {
  return alone ? start : -1;
}

function tellEndpoint(entry: Decode, address: number): void {
  entry.told = address;
  if (entry.bar.type !== "io") entry.endpoint.decodingChanged?.(entry.bar, address);
}
