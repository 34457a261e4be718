// What firmware does on a PC before a kernel is entered: it gives every BAR an address, notes the inputs of interrupt pins,
// and turns decoding on. A kernel that is entered directly keeps all that.
// Source: PCI Firmware 3.0 section 3.5; SeaBIOS 1.16 src/fw/pciinit.c for the order and for what COMMAND is left with.
// BARs that need the 32-bit window are placed first, then 64-bit ones where they fit, which is there or in the 64-bit
// window; among each the largest first, as low as they go. No two memory BARs share a page, so that each can be mapped.
// Invariant: a function decodes a space (memory, I/O) only when all of its BARs there have an address.
import {
  PCI_BASE_ADDRESS_0,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
} from "@minivmm/pci/function";
import { VmmError } from "../../errors.ts";
import type { BusSlot } from "../../pci/bus.ts";
import type { BarDescription } from "../../pci/endpoint.ts";
import type { PcHostBridge } from "./host-bridge.ts";
import { type AddressRange, IO_WINDOW, MEM32_WINDOW, pciGsi } from "./memory-map.ts";

const PAGE = 0x1000;

interface Request extends BusSlot {
  readonly bar: BarDescription;
  /** Where it may go, in order of preference. */
  readonly windows: readonly AddressRange[];
  /** Bytes that are kept for it, and its alignment. */
  readonly size: number;
}

interface Placed {
  readonly request: Request;
  readonly address: number;
}

/**
 * Programs every function of the bus. Returns what did not fit, in words: such a function does not decode that space.
 * Throws VmmError USAGE_DEVICE for a BAR that is larger than every window it could be in.
 */
export function assignResources(bridge: PcHostBridge): string[] {
  const problems: string[] = [];
  const requests = bridge.slots.flatMap((slot) => requestsOf(slot, bridge.mem64));
  for (const request of requests) checkSize(request);
  const memory = layOut(
    requests.filter(({ bar }) => bar.type !== "io"),
    problems,
  );
  const io = layOut(
    requests.filter(({ bar }) => bar.type === "io"),
    problems,
  );
  for (const { slot, endpoint } of bridge.slots) {
    const command = bridge.configRead(slot << 3, PCI_COMMAND, 2) & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    bridge.configWrite(slot << 3, PCI_COMMAND, 2, command);
    for (const placed of [...memory.placed, ...io.placed]) if (placed.request.slot === slot) programBar(bridge, placed);
    const pin = endpoint.interruptPin;
    if (pin > 0) bridge.configWrite(slot << 3, PCI_INTERRUPT_LINE, 1, pciGsi(slot, pin));
    const decoding = (io.left.has(slot) ? 0 : PCI_COMMAND_IO) | (memory.left.has(slot) ? 0 : PCI_COMMAND_MEMORY);
    bridge.configWrite(slot << 3, PCI_COMMAND, 2, command | decoding);
  }
  return problems;
}

function requestsOf({ slot, endpoint }: BusSlot, mem64: AddressRange): Request[] {
  return endpoint.bars.flatMap((bar) => {
    if (bar.type === "rom") return [];
    const windows = bar.type === "io" ? [IO_WINDOW] : bar.type === "mem32" ? [MEM32_WINDOW] : [MEM32_WINDOW, mem64];
    return [{ slot, endpoint, bar, windows, size: bar.type === "io" ? bar.size : Math.max(bar.size, PAGE) }];
  });
}

function checkSize({ endpoint, bar, windows }: Request): void {
  const largest = Math.max(...windows.map(({ size }) => size));
  if (bar.size <= largest) return;
  throw new VmmError(
    `device ${endpoint.name}: BAR ${bar.index} has ${bar.size} bytes, and the largest window that it could be in has ${largest}`,
    {
      code: "USAGE_DEVICE",
      details: { device: endpoint.name, bar: bar.index, size: bar.size, type: bar.type, largest },
      hint: "64-bit BARs go above all RAM, as far as the processor has address bits: less guest memory (-m) may make room",
    },
  );
}

/** Places all BARs of one space. A function one of whose BARs finds no room goes without, and the others try again. */
function layOut(requests: readonly Request[], problems: string[]): { placed: Placed[]; left: ReadonlySet<number> } {
  const left = new Set<number>();
  // Fewer windows to choose from first, then larger first.
  const sorted = [...requests].sort((a, b) => a.windows.length - b.windows.length || b.size - a.size);
  for (;;) {
    const placed: Placed[] = [];
    const missed = sorted.find((request) => !left.has(request.slot) && !place(request, placed));
    if (missed === undefined) return { placed, left };
    const { slot, endpoint, bar } = missed;
    left.add(slot);
    problems.push(
      `device ${endpoint.name}: no room for BAR ${bar.index} (${bar.type}, ${bar.size} bytes) beside those of other ` +
        `devices; its ${bar.type === "io" ? "I/O ports are" : "memory is"} not reachable`,
    );
  }
}

/** The lowest free place of the first window that has one. */
function place(request: Request, placed: Placed[]): boolean {
  for (const window of request.windows) {
    let address = Math.ceil(window.start / request.size) * request.size;
    for (
      let hit = taker(placed, address, request.size);
      hit !== undefined;
      hit = taker(placed, address, request.size)
    ) {
      address = Math.ceil((hit.address + hit.request.size) / request.size) * request.size;
    }
    if (address + request.size > window.start + window.size) continue;
    placed.push({ request, address });
    return true;
  }
  return false;
}

function taker(placed: readonly Placed[], address: number, size: number): Placed | undefined {
  return placed.find((other) => address < other.address + other.request.size && other.address < address + size);
}

function programBar(bridge: PcHostBridge, { request: { slot, bar }, address }: Placed): void {
  const register = PCI_BASE_ADDRESS_0 + bar.index * 4;
  bridge.configWrite(slot << 3, register, 4, address % 0x1_0000_0000);
  if (bar.type === "mem64") bridge.configWrite(slot << 3, register + 4, 4, Math.floor(address / 0x1_0000_0000));
}
