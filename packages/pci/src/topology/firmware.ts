// The host's firmware: gives every BAR an address and programs bridge windows so that accesses reach it.
// Resources of a bus are collected bottom up (a bridge asks for what lies below it), sorted by alignment and placed top
// down. Bridge windows come in 1 MiB steps for memory and 4 KiB steps for I/O; a non-prefetchable BAR behind a bridge
// must lie below 4 GiB, for the window that forwards it has 32 bits (PCI-to-PCI Bridge 1.2, section 3.2.5.8).
import { type AssignedBar, writeBarAddress } from "../bar.ts";
import { descriptionError, PciError } from "../error.ts";
import { programVfBars } from "../iov/physical-function.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../registers.ts";
import { programWindow } from "./bridge-window.ts";
import type { Placements } from "./build.ts";
import type { BarPlacement } from "./description.ts";
import type { PciBus, PciDomain, PciFunction } from "./graph.ts";
import type { AddressWindow, Space } from "./windows.ts";

const SPACES: readonly Space[] = ["memory32", "memory64", "io"];
const MIB = 0x10_0000;
const OWN_PAGE = 0x1_0000;
/** Where descriptions count the BARs of virtual functions from: behind the ROM. */
const FIRST_VIRTUAL_BAR = 7;

interface Request {
  readonly size: number;
  readonly align: number;
  /** Called with the bus address that was found. */
  readonly place: (busAddress: number) => void;
}

/**
 * Assign every BAR of a domain, then program the windows of bridges that are described with windows of their own: what
 * is below such a bridge has addresses of its own, too. @throws PciError NO_ADDRESS_SPACE, DESCRIPTION
 */
export function assignAddresses(domain: PciDomain, placements: Placements): void {
  for (const space of SPACES) {
    const window = domain.windows[space];
    const busBase = window.busBase ?? window.base;
    const fixed = placeForced(domain, space, window, placements);
    const requests = collect(domain.root, space, window, placements);
    const end = layOut(requests, busBase, fixed);
    if (end > busBase + window.size) {
      throw new PciError(
        `the BARs of PCI domain ${domain.number} need 0x${(end - busBase).toString(16)} bytes of ${space}`,
        {
          code: "NO_ADDRESS_SPACE",
          details: { domain: domain.number, space, needed: end - busBase, available: window.size },
          hint: "describe a larger window for the domain",
        },
      );
    }
  }
  for (const fn of domain.root.walk()) if (fn.isBridge) fn.config.write(PCI_COMMAND, 2, PCI_COMMAND_MASTER | 3);
}

function programWindows(fn: PciFunction, space: Space): void {
  const { base = 0, size = 0 } = fn.windows[space] ?? {};
  programWindow(fn.config, space, base, size);
}

function spaceOf(fn: PciFunction, bar: AssignedBar): Space {
  if (bar.type === "io") return "io";
  const far = bar.type === "mem64" && (bar.prefetchable || fn.bus.isRoot) && bar.size > 0x1000_0000;
  return far || (bar.type === "mem64" && bar.prefetchable) ? "memory64" : "memory32";
}

function collect(bus: PciBus, space: Space, window: AddressWindow, placements: Placements): Request[] {
  const requests: Request[] = [];
  for (const fn of bus.functions) {
    for (const bar of fn.bars) {
      const wanted = placements.get(fn)?.[String(bar.index)];
      if (spaceOf(fn, bar) !== space || wanted?.address !== undefined) continue;
      requests.push(barRequest(fn, bar, window, wanted));
    }
    for (const bar of fn.iov?.bars ?? []) {
      const wanted = placements.get(fn)?.[String(FIRST_VIRTUAL_BAR + bar.index)];
      if (spaceOf(fn, bar) === space && wanted?.address === undefined) {
        requests.push(virtualBarsRequest(fn, bar, window));
      }
    }
    if (!fn.secondary) continue;
    const below = collect(fn.secondary, space, window, placements);
    if (fn.windows.fixed) programWindows(fn, space);
    else if (below.length > 0) requests.push(bridgeRequest(fn, space, below));
    else programWindow(fn.config, space, 0, 0);
  }
  return requests;
}

function barRequest(fn: PciFunction, bar: AssignedBar, window: AddressWindow, wanted?: BarPlacement): Request {
  const inPage = wanted?.pageOffset ?? 0;
  const alignment = bar.type === "io" ? 4 : fn.bus.domain.barAlignment;
  if (inPage % Math.min(bar.size, OWN_PAGE) !== 0 || (inPage > 0 && inPage + bar.size > OWN_PAGE)) {
    throw descriptionError(
      `BAR ${bar.index} of ${fn.name} cannot start at page offset 0x${inPage.toString(16)}`,
      `a BAR of ${bar.size} bytes starts at a multiple of its size`,
    );
  }
  const size = inPage > 0 ? OWN_PAGE : bar.size;
  return {
    size,
    align: Math.max(size, alignment),
    place: (address) => assign(fn, bar, address + inPage, window),
  };
}

/** One BAR of all virtual functions: each has its aperture, aligned as for one. */
function virtualBarsRequest(fn: PciFunction, bar: AssignedBar, window: AddressWindow): Request {
  return {
    size: bar.size * (fn.iov?.totalVfs ?? 0),
    align: Math.max(bar.size, fn.bus.domain.barAlignment),
    place: (address) => assignVirtual(fn, bar, address, window),
  };
}

function assignVirtual(fn: PciFunction, bar: AssignedBar, busAddress: number, window: AddressWindow): void {
  bar.busAddress = busAddress;
  bar.address = busAddress - (window.busBase ?? window.base) + window.base;
  if (fn.iov && fn.device.sriov) programVfBars(fn, fn.device.sriov, fn.iov);
}

function bridgeRequest(fn: PciFunction, space: Space, below: Request[]): Request {
  const step = space === "io" ? 0x1000 : MIB;
  const align = Math.max(step, ...below.map((request) => request.align));
  const size = Math.ceil(layOut(below, 0, [], false) / step) * step;
  return {
    size,
    align,
    place: (address) => {
      layOut(below, address, []);
      fn.windows = { ...fn.windows, [space]: { base: address, size } };
      programWindow(fn.config, space, address, size);
    },
  };
}

interface Taken {
  readonly from: number;
  readonly to: number;
}

/** Place requests from `base` up, largest alignment first, around what is taken. Returns the end of the last one. */
function layOut(requests: Request[], base: number, taken: readonly Taken[], commit = true): number {
  const sorted = [...requests].sort((a, b) => b.align - a.align);
  let next = base;
  for (const request of sorted) {
    let at = Math.ceil(next / request.align) * request.align;
    for (let hit = overlap(taken, at, request.size); hit; hit = overlap(taken, at, request.size)) {
      at = Math.ceil(hit.to / request.align) * request.align;
    }
    if (commit) request.place(at);
    next = at + request.size;
  }
  return next;
}

const overlap = (taken: readonly Taken[], at: number, size: number): Taken | undefined =>
  taken.find((range) => at < range.to && at + size > range.from);

function placeForced(domain: PciDomain, space: Space, window: AddressWindow, placements: Placements): Taken[] {
  const taken: Taken[] = [];
  for (const fn of domain.root.walk()) {
    for (const { bar, key, count, place } of placeable(fn, window)) {
      const address = placements.get(fn)?.[key]?.address;
      if (address === undefined || spaceOf(fn, bar) !== space) continue;
      const size = bar.size * count;
      const busAddress = address - window.base + (window.busBase ?? window.base);
      const inside = address >= window.base && address + size <= window.base + window.size;
      const reached = forwarded(fn, space, busAddress, size);
      if (!inside || !reached || address % bar.size !== 0 || overlap(taken, busAddress, size)) {
        throw descriptionError(
          `BAR ${key} of ${fn.name} cannot be at 0x${address.toString(16)}`,
          "a forced address is a multiple of the size, free, inside the domain's window and inside the described windows of the bridges above; behind bridges without described windows use pageOffset",
        );
      }
      taken.push({ from: busAddress, to: busAddress + size });
      place(busAddress);
    }
  }
  return taken;
}

interface Placeable {
  readonly bar: AssignedBar;
  /** Its name in a description. */
  readonly key: string;
  /** How many of its size lie side by side. */
  readonly count: number;
  place(busAddress: number): void;
}

function placeable(fn: PciFunction, window: AddressWindow): Placeable[] {
  const own = fn.bars.map((bar) => ({
    bar,
    key: String(bar.index),
    count: 1,
    place: (address: number) => assign(fn, bar, address, window),
  }));
  const virtual = (fn.iov?.bars ?? []).map((bar) => ({
    bar,
    key: String(FIRST_VIRTUAL_BAR + bar.index),
    count: fn.iov?.totalVfs ?? 0,
    place: (address: number) => assignVirtual(fn, bar, address, window),
  }));
  return [...own, ...virtual];
}

/** Every bridge above is described with a window that lets this range through. */
function forwarded(fn: PciFunction, space: Space, base: number, size: number): boolean {
  for (let bridge = fn.bus.bridge; bridge !== null; bridge = bridge.bus.bridge) {
    const window = bridge.windows.fixed ? bridge.windows[space] : undefined;
    if (!window || base < window.base || base + size > window.base + window.size) return false;
  }
  return true;
}

function assign(fn: PciFunction, bar: AssignedBar, busAddress: number, window: AddressWindow): void {
  bar.busAddress = busAddress;
  bar.address = busAddress - (window.busBase ?? window.base) + window.base;
  writeBarAddress(fn.config, bar, busAddress, fn.device.headerType);
}
