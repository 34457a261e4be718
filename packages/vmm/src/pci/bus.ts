// A machine's root bus: functions in slots, their configuration registers, where their BARs are decoded, and the lines
// that their interrupt pins share. A host bridge is a bus with the machine's way in: RTAS calls, or ports and ECAM.
// Source: PCI Local Bus 3.0 sections 2.2.6 (pins), 6.1 and 6.2.5.
// Invariants: one function a slot, slots 1 to 31 (0 may hold the bridge's own); decoding follows the BAR and COMMAND
// registers as they are after each configuration write; a line is high while any function on it holds its pin.
import { VmmError } from "../errors.ts";
import type { BarNow } from "../running-attributes.ts";
import { type BusWindow, type DecodedBar, type DecodedRange, DecodeTable } from "./decode.ts";
import type { EndpointWires, PciEndpoint } from "./endpoint.ts";

export interface BusSlot {
  readonly slot: number;
  readonly endpoint: PciEndpoint;
}

export interface PciBusOptions {
  readonly memory: readonly BusWindow[];
  /** I/O windows; their CPU addresses are port numbers where the CPU has ports. */
  readonly io: readonly BusWindow[];
  /** Interrupt inputs of the machine that pins lead to. */
  readonly pins: PinInputs;
  /** Functions may deliver their pins to those inputs past the monitor, inside the kernel. Default false. */
  readonly pinsInKernel?: boolean;
  /** Called when the level of an input changes. */
  setInput(input: number, level: boolean): void;
  message(addressHi: number, addressLo: number, data: number): void;
  /** Called when the addresses change at which stores of the CPU may be combined. */
  combinable?(ranges: readonly DecodedRange[]): void;
  /** The function in slot 0. Default none. */
  readonly bridge?: PciEndpoint;
}

export interface PinInputs {
  readonly first: number;
  readonly count: number;
}

const SLOTS = 32;

export class PciBus {
  /** What was plugged in, in order of slots. */
  readonly slots: BusSlot[] = [];
  protected readonly memory: DecodeTable;
  protected readonly io: DecodeTable;
  private readonly options: PciBusOptions;
  private readonly functions: (PciEndpoint | undefined)[] = new Array<undefined>(SLOTS).fill(undefined);
  /** By line: a bit for each slot that holds it high. */
  private readonly holders: Uint32Array;

  constructor(options: PciBusOptions) {
    this.options = options;
    this.memory = new DecodeTable(options.memory);
    this.io = new DecodeTable(options.io);
    this.holders = new Uint32Array(options.pins.count);
    this.functions[0] = options.bridge;
  }

  /** Accesses to a window that no BAR decodes. */
  get unclaimed(): number {
    return this.memory.unclaimed + this.io.unclaimed;
  }

  /** Plugs a function into a slot (default: the lowest free one). Throws VmmError USAGE_DEVICE when it cannot go there. */
  plug(endpoint: PciEndpoint, wanted?: number): number {
    const slot = wanted ?? this.lowestFree();
    const taken = this.slots.some((entry) => entry.slot === slot);
    if (!Number.isInteger(slot) || slot < 1 || slot >= SLOTS || taken) {
      const why = taken ? "another device is there" : `slots are 1 to ${SLOTS - 1}`;
      throw new VmmError(`device ${endpoint.name}: cannot use PCI slot ${slot}: ${why}`, {
        code: "USAGE_DEVICE",
        details: { slot, device: endpoint.name },
      });
    }
    this.functions[slot] = endpoint;
    this.slots.push({ slot, endpoint });
    this.slots.sort((a, b) => a.slot - b.slot);
    for (const bar of endpoint.bars) {
      if (bar.type !== "rom") (bar.type === "io" ? this.io : this.memory).add(slot, endpoint, bar);
    }
    endpoint.connect(this.wires(slot, endpoint.interruptPin));
    this.updateDecoding(endpoint);
    return slot;
  }

  /** Register of a function on bus 0, -1 when there is no such function or register. */
  configRead(devfn: number, offset: number, width: number): number {
    const endpoint = this.functionAt(devfn);
    if (endpoint === undefined || !validRegister(endpoint, offset, width)) return -1;
    return endpoint.readConfig(offset, width as 1 | 2 | 4) >>> 0;
  }

  configWrite(devfn: number, offset: number, width: number, value: number): boolean {
    const endpoint = this.functionAt(devfn);
    if (endpoint === undefined || !validRegister(endpoint, offset, width)) return false;
    endpoint.writeConfig(offset, width as 1 | 2 | 4, value);
    // Any register will do: one in a capability may have reset the function.
    this.updateDecoding(endpoint);
    return true;
  }

  functionAt(devfn: number): PciEndpoint | undefined {
    return (devfn & 7) === 0 ? this.functions[devfn >>> 3] : undefined;
  }

  /** The guest ended the interrupt of an input: functions that hold it look at their device again. */
  pinEnded(input: number): void {
    const held = this.holders[input - this.options.pins.first] ?? 0;
    if (held === 0) return;
    for (const { slot, endpoint } of this.slots) if ((held >>> slot) & 1) endpoint.intxEnded();
  }

  /** Also for a function whose decoding changed without a write of the guest: one that was taken away. */
  updateDecoding(endpoint: PciEndpoint): void {
    if (this.memory.update(endpoint)) this.options.combinable?.(this.memory.combinable());
    this.io.update(endpoint);
  }

  /** BARs of all functions as they are decoded now, in the order of slots. */
  barsNow(): BarNow[] {
    const order = ({ slot, bar }: DecodedBar): number => slot * 8 + bar.index;
    return [...this.memory.bars(), ...this.io.bars()].sort((a, b) => order(a) - order(b)).map(barNow);
  }

  close(): void {
    for (const { endpoint } of this.slots) endpoint.close();
  }

  private lowestFree(): number {
    let slot = 1;
    while (this.functions[slot] !== undefined) slot++;
    return slot;
  }

  private wires(slot: number, pin: number): EndpointWires {
    const { options } = this;
    // A function without a pin has a line nobody hears of.
    const line = pinLine(slot, pin, options.pins.count);
    const wires: EndpointWires = {
      intx: (level) => this.setPin(line, slot, level),
      message: (hi, lo, data) => options.message(hi, lo, data),
    };
    return pin > 0 && options.pinsInKernel ? { ...wires, gsi: options.pins.first + line } : wires;
  }

  private setPin(line: number, slot: number, level: boolean): void {
    const { holders } = this;
    const before = holders[line]!;
    const now = level ? before | (1 << slot) : before & ~(1 << slot);
    holders[line] = now;
    if ((before !== 0) !== (now !== 0)) this.options.setInput(this.options.pins.first + line, now !== 0);
  }
}

/** Line of a pin (1 INTA .. 4 INTD): each slot begins one further, so that functions spread over the lines. */
export function pinLine(slot: number, pin: number, lines: number): number {
  return pin === 0 ? 0 : (slot + pin - 1) % lines;
}

function barNow({ endpoint, bar, start, alone }: DecodedBar): BarNow {
  const host = endpoint.hostBar?.(bar.index);
  return {
    device: endpoint.name,
    hostFunction: host?.bdf ?? null,
    index: bar.index,
    kind: bar.type as BarNow["kind"],
    bytes: bar.size,
    prefetchable: bar.prefetchable,
    address: start < 0 ? null : start,
    overlapped: start >= 0 && !alone,
    directBytes: host?.directBytes ?? 0,
    msixTable: host?.msixTable ?? false,
    burstable: alone && bar.prefetchable && endpoint.writeBurst !== undefined,
    writes: endpoint.barWrites?.().find((each) => each.bar === bar.index) ?? null,
  };
}

function validRegister(endpoint: PciEndpoint, offset: number, width: number): boolean {
  return (width === 1 || width === 2 || width === 4) && offset % width === 0 && offset + width <= endpoint.configSize;
}
