/**
 * Builds the virtual copy of a configuration space and its permission map: walks both capability chains, claims what
 * may be seen and unlinks what may not.
 *
 * Source: vfio_config_init, vfio_cap_init, vfio_ecap_init of vfio_pci_config.c. The hidden first extended capability
 * cannot be unlinked: its header keeps only the pointer to the next one.
 */
import { CAPABILITIES, type ConfigReader, PCI_CAP_ID_PM } from "./capability-table.ts";
import { EXTENDED_CAPABILITIES } from "./extended-table.ts";
import { claimHeader, PCI_CAPABILITY_LIST, PCI_STATUS, PCI_STATUS_CAP_LIST, PCI_STD_HEADER_SIZEOF } from "./header.ts";
import { ALL, NONE, PermissionMap, RAW } from "./permissions.ts";

/** Longest chains that fit: guards against loops. */
const MAX_CAPABILITIES = 48;
const MAX_EXTENDED = 480;
const EXTENDED_START = 0x100;
const NEXT_BITS = 0xffc00000;

export interface ConfigLayout {
  readonly vconfig: Uint8Array;
  readonly map: PermissionMap;
  /** Where each visible standard capability starts, by id. */
  readonly capabilities: ReadonlyMap<number, number>;
}

export function layOutConfig(hw: ConfigReader, size: number): ConfigLayout {
  const vconfig = new Uint8Array(size);
  const map = new PermissionMap(size);
  const capabilities = new Map<number, number>();
  copy(hw, vconfig, 0, PCI_STD_HEADER_SIZEOF);
  claimHeader(map);
  layOutCapabilities(hw, vconfig, map, capabilities);
  if (size > EXTENDED_START && hw.read(EXTENDED_START, 4) !== 0) layOutExtended(hw, vconfig, map);
  return { vconfig, map, capabilities };
}

function layOutCapabilities(
  hw: ConfigReader,
  vconfig: Uint8Array,
  map: PermissionMap,
  found: Map<number, number>,
): void {
  if (!(hw.read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST)) return;
  let link = PCI_CAPABILITY_LIST;
  let at = hw.read(PCI_CAPABILITY_LIST, 1) & 0xfc;
  for (let budget = MAX_CAPABILITIES; at >= PCI_STD_HEADER_SIZEOF && budget > 0; budget--) {
    const id = hw.read(at, 1);
    const next = hw.read(at + 1, 1) & 0xfc;
    const rule = CAPABILITIES.get(id);
    const length = Math.min(rule?.length(hw, at) ?? 0, EXTENDED_START - at);
    if (!rule || length === 0) {
      vconfig[link] = next;
    } else {
      claimFree(map, id, at, length);
      copy(hw, vconfig, at, length);
      map.set(at, 2, ALL, NONE);
      rule.permissions?.(map, hw, at);
      if (id === PCI_CAP_ID_PM) hidePowerEvents(vconfig, at);
      if (!found.has(id)) found.set(id, at);
      link = at + 1;
    }
    at = next;
  }
  if (found.size === 0) vconfig[PCI_STATUS] = (vconfig[PCI_STATUS] as number) & ~PCI_STATUS_CAP_LIST;
}

function layOutExtended(hw: ConfigReader, vconfig: Uint8Array, map: PermissionMap): void {
  const words = new DataView(vconfig.buffer);
  let visible = 0;
  let previous = 0;
  let at = EXTENDED_START;
  for (let budget = MAX_EXTENDED; at >= EXTENDED_START && budget > 0; budget--) {
    const header = hw.read(at, 4);
    const id = header & 0xffff;
    const rule = EXTENDED_CAPABILITIES.get(id);
    const length = Math.min(rule?.length(hw, at) ?? 0, vconfig.length - at);
    if (rule && length > 0) {
      claimFree(map, id, at, length);
      copy(hw, vconfig, at, length);
      map.set(at, 4, ALL, NONE);
      rule.permissions?.(map, hw, at);
      visible++;
      previous = at;
    } else if (previous === 0) {
      claimFree(map, id, at, 4);
      words.setUint32(at, header & NEXT_BITS, true);
      map.set(at, 4, ALL, NONE);
      previous = at;
    } else {
      const kept = words.getUint32(previous, true) & ~NEXT_BITS;
      words.setUint32(previous, kept | (header & NEXT_BITS), true);
    }
    at = (header >>> 20) & 0xffc;
  }
  if (visible === 0) words.setUint32(EXTENDED_START, 0, true);
}

/** Claims only bytes that nothing else owns: overlapping capabilities are a device's fault, the first one wins. */
function claimFree(map: PermissionMap, id: number, at: number, length: number): void {
  let free = 0;
  while (free < length && map.owner[at + free] === RAW) free++;
  map.claim(id, at, free);
}

function hidePowerEvents(vconfig: Uint8Array, at: number): void {
  vconfig[at + 3] = (vconfig[at + 3] as number) & 0x07;
  vconfig[at + 5] = (vconfig[at + 5] as number) & 0x7e;
}

function copy(hw: ConfigReader, into: Uint8Array, at: number, length: number): void {
  for (let i = 0; i < length; i++) into[at + i] = hw.read(at + i, 1);
}
