// The two linked lists of capabilities in configuration space: the classic one that starts at 0x34 and lives in
// 0x40..0xff, and the extended one that starts at 0x100 of a PCI Express function.
// Source: PCI Local Bus 3.0 section 6.7, PCI Express Base 4.0 section 7.6.
// Space is handed out in order of addition; dword aligned; a caller may insist on an offset.
import { PciError } from "./error.ts";
import { PCI_CAPABILITY_LIST, PCI_STATUS, PCI_STATUS_CAP_LIST } from "./registers.ts";

const FIRST_CAPABILITY = 0x40;
const FIRST_EXTENDED = 0x100;
/** A list cannot be longer than this (256 bytes or 4096 bytes of 4-byte headers). */
const MAX_CAPABILITIES = 48;
const MAX_EXTENDED = 960;

/** What the lists need of a configuration space; `ConfigSpace` is one. */
export interface CapabilityStore {
  readonly size: number;
  read(offset: number, size: 1 | 2 | 4): number;
  define(offset: number, size: 1 | 2 | 4, definition: { readonly value: number; readonly rw1c?: number }): void;
  claim(offset: number, length: number): void;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

const used = new WeakMap<CapabilityStore, Range[]>();

export function addCapability(config: CapabilityStore, id: number, length: number, at?: number): number {
  const offset = reserve(config, id, length, at, FIRST_CAPABILITY, 256);
  config.define(offset, 2, { value: id });
  const status = config.read(PCI_STATUS, 2);
  if (status & PCI_STATUS_CAP_LIST) {
    config.define(lastCapability(config) + 1, 1, { value: offset });
  } else {
    config.define(PCI_STATUS, 2, { value: status | PCI_STATUS_CAP_LIST, rw1c: 0xf900 });
    config.define(PCI_CAPABILITY_LIST, 1, { value: offset });
  }
  return offset;
}

export function addExtendedCapability(
  config: CapabilityStore,
  id: number,
  version: number,
  length: number,
  at?: number,
): number {
  const first = config.size > FIRST_EXTENDED ? config.read(FIRST_EXTENDED, 4) : 0;
  // The head of the list has a fixed place, so the first capability added goes there.
  const wanted = at ?? (first === 0 ? FIRST_EXTENDED : undefined);
  const offset = reserve(config, id, length, wanted, FIRST_EXTENDED, config.size);
  if (first !== 0) {
    const last = lastExtended(config);
    config.define(last, 4, { value: ((config.read(last, 4) & 0x000fffff) | (offset << 20)) >>> 0 });
  }
  config.define(offset, 4, { value: ((version & 0xf) << 16) | id });
  return offset;
}

export function findCapability(config: CapabilityStore, id: number): number {
  for (const at of capabilities(config)) if (config.read(at, 1) === id) return at;
  return 0;
}

export function findExtendedCapability(config: CapabilityStore, id: number): number {
  for (const at of extendedCapabilities(config)) if (config.read(at, 2) === id) return at;
  return 0;
}

/** Offsets of the classic capabilities in list order. */
export function* capabilities(config: CapabilityStore): Generator<number> {
  if (!(config.read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST)) return;
  let at = config.read(PCI_CAPABILITY_LIST, 1) & ~3;
  for (let n = 0; at >= FIRST_CAPABILITY && n < MAX_CAPABILITIES; n++) {
    yield at;
    at = config.read(at + 1, 1) & ~3;
  }
}

/** Offsets of the extended capabilities in list order. */
export function* extendedCapabilities(config: CapabilityStore): Generator<number> {
  if (config.size <= FIRST_EXTENDED || config.read(FIRST_EXTENDED, 4) === 0) return;
  let at = FIRST_EXTENDED;
  for (let n = 0; at >= FIRST_EXTENDED && n < MAX_EXTENDED; n++) {
    yield at;
    at = (config.read(at, 4) >>> 20) & 0xffc;
  }
}

function lastCapability(config: CapabilityStore): number {
  let last = 0;
  for (const at of capabilities(config)) last = at;
  return last;
}

function lastExtended(config: CapabilityStore): number {
  let last = 0;
  for (const at of extendedCapabilities(config)) last = at;
  return last;
}

function reserve(
  config: CapabilityStore,
  id: number,
  length: number,
  at: number | undefined,
  low: number,
  high: number,
): number {
  const ranges = used.get(config) ?? [];
  used.set(config, ranges);
  const free = (from: number): boolean =>
    from >= low && from + length <= high && !ranges.some((range) => from < range.to && from + length > range.from);
  let offset = at ?? low;
  while (at === undefined && offset < high && !free(offset)) offset += 4;
  if (offset % 4 !== 0 || !free(offset)) {
    throw new PciError(`no room for capability 0x${id.toString(16)} of ${length} bytes`, {
      code: "CAPABILITY_SPACE",
      details: { id, length, at, spaceSize: config.size },
      hint: "give it another dword-aligned offset, or none; extended capabilities need 4096 bytes of configuration space",
    });
  }
  ranges.push({ from: offset, to: offset + length });
  config.claim(offset, length);
  return offset;
}
