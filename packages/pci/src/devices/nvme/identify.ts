// The Identify command (NVM Express 1.4 section 5.15): controller, namespace, active namespace list and namespace
// identification descriptors. There is one namespace; every other structure is an invalid field, as Linux expects.
import { ASYNC_EVENT_SLOTS } from "./events.ts";
import { CRITICAL_TEMPERATURE, WARNING_TEMPERATURE } from "./features.ts";
import type { NvmeSettings } from "./settings.ts";
import { ERROR_LOG_ENTRIES } from "./statistics.ts";
import { INVALID_FIELD, INVALID_NAMESPACE, SUCCESS } from "./status.ts";

export const IDENTIFY_SIZE = 4096;
export const NAMESPACE_COUNT = 1;
const BROADCAST = 0xffffffff;

const CNS_NAMESPACE = 0;
const CNS_CONTROLLER = 1;
const CNS_ACTIVE_LIST = 2;
const CNS_DESCRIPTORS = 3;
const CNS_SET_NAMESPACE = 5;
const CNS_SET_CONTROLLER = 6;
const CNS_SET_ACTIVE_LIST = 7;
const CNS_COMMAND_SETS = 0x1c;
/** The NVM command set, the only one. */
const CSI_NVM = 0;

/** Dataset management, write zeroes, and the select field of Get Features. */
const ONCS = 0x0004 | 0x0008 | 0x0010;
/** Commands supported and effects log, log page offsets. */
const LPA = 0x02 | 0x04;
/** A volatile write cache is present; Flush takes the broadcast namespace. */
const VWC = 0x01 | 0x06;
const NIDT_UUID = 3;
const NIDT_CSI = 4;

export interface IdentifyRequest {
  /** Which structure. */
  readonly cns: number;
  readonly nsid: number;
  /** Command set that a structure is asked for. */
  readonly csi: number;
}

/** Fill `out` (4096 bytes, first cleared) with the structure that `cns` asks for. Returns a status. */
export function identify(settings: NvmeSettings, readonly: boolean, request: IdentifyRequest, out: Uint8Array): number {
  const { cns, nsid } = request;
  out.fill(0, 0, IDENTIFY_SIZE);
  const view = new DataView(out.buffer, out.byteOffset, IDENTIFY_SIZE);
  switch (cns) {
    case CNS_CONTROLLER:
      identifyController(settings, out, view);
      return SUCCESS;
    case CNS_NAMESPACE:
      if (nsid < 1 || nsid > NAMESPACE_COUNT) return INVALID_NAMESPACE;
      identifyNamespace(settings, readonly, out, view);
      return SUCCESS;
    case CNS_ACTIVE_LIST:
      if (nsid >= BROADCAST - 1) return INVALID_NAMESPACE;
      if (nsid < NAMESPACE_COUNT) view.setUint32(0, NAMESPACE_COUNT, true);
      return SUCCESS;
    case CNS_DESCRIPTORS:
      if (nsid < 1 || nsid > NAMESPACE_COUNT) return INVALID_NAMESPACE;
      out[0] = NIDT_UUID;
      out[1] = 16;
      out.set(namespaceUuid(settings), 4);
      if (settings.commandSets) out.set([NIDT_CSI, 1, 0, 0, CSI_NVM], 20);
      return SUCCESS;
    default:
      return settings.commandSets ? identifyCommandSet(request, view) : INVALID_FIELD;
  }
}

/** Structures of a command set (Technical Proposal 4056); those of the NVM command set say nothing beyond zeroes. */
function identifyCommandSet({ cns, nsid, csi }: IdentifyRequest, view: DataView): number {
  if (cns === CNS_COMMAND_SETS) {
    view.setUint32(0, 1 << CSI_NVM, true);
    return SUCCESS;
  }
  if (csi !== CSI_NVM) return INVALID_FIELD;
  switch (cns) {
    case CNS_SET_NAMESPACE:
      return nsid < 1 || nsid > NAMESPACE_COUNT ? INVALID_NAMESPACE : SUCCESS;
    case CNS_SET_CONTROLLER:
      return SUCCESS;
    case CNS_SET_ACTIVE_LIST:
      if (nsid >= BROADCAST - 1) return INVALID_NAMESPACE;
      if (nsid < NAMESPACE_COUNT) view.setUint32(0, NAMESPACE_COUNT, true);
      return SUCCESS;
    default:
      return INVALID_FIELD;
  }
}

function identifyController(settings: NvmeSettings, out: Uint8Array, view: DataView): void {
  view.setUint16(0, settings.vendor, true);
  view.setUint16(2, settings.subsystemVendor, true);
  text(out, 4, 20, settings.serial);
  text(out, 24, 40, settings.model);
  text(out, 64, 8, settings.firmware);
  out[72] = 6; // RAB: bursts of 64 commands
  out[77] = settings.mdts;
  view.setUint32(80, settings.version, true);
  out[111] = 1; // an I/O controller
  out[258] = 3; // ACL
  out[259] = ASYNC_EVENT_SLOTS - 1;
  out[260] = 0x03; // one firmware slot, read only
  out[261] = LPA;
  out[262] = ERROR_LOG_ENTRIES - 1;
  view.setUint16(266, WARNING_TEMPERATURE, true);
  view.setUint16(268, CRITICAL_TEMPERATURE, true);
  out[512] = 0x66;
  out[513] = 0x44;
  view.setUint32(516, NAMESPACE_COUNT, true);
  view.setUint16(520, ONCS, true);
  out[525] = VWC;
  text(out, 768, 256, subsystemName(settings), 0);
  view.setUint16(2048, 2500, true); // PSD0: 25 W
}

function identifyNamespace(settings: NvmeSettings, readonly: boolean, out: Uint8Array, view: DataView): void {
  for (const at of [0, 8, 16]) {
    view.setUint32(at, settings.blocks >>> 0, true);
    view.setUint32(at + 4, Math.floor(settings.blocks / 0x1_0000_0000), true);
  }
  out[99] = readonly ? 1 : 0;
  out[130] = Math.log2(settings.blockSize);
}

/** NQN for controllers without a registered name: ids, serial and model (section 7.9). */
function subsystemName(settings: NvmeSettings): string {
  const id = (value: number): string => value.toString(16).padStart(4, "0");
  const { vendor, subsystemVendor, serial, model } = settings;
  return `nqn.2014.08.org.nvmexpress:${id(vendor)}${id(subsystemVendor)}${serial.padEnd(20)}${model.padEnd(40)}`;
}

/** A stable identifier that follows from serial and model (FNV-1a, version and variant bits of a random UUID). */
function namespaceUuid(settings: NvmeSettings): Uint8Array {
  const uuid = new Uint8Array(16);
  let hash = 0x811c9dc5;
  const seed = `${settings.serial}/${settings.model}`;
  for (let i = 0; i < 16; i++) {
    for (const character of seed) hash = Math.imul(hash ^ character.charCodeAt(0) ^ i, 0x01000193) >>> 0;
    uuid[i] = hash >>> 24;
  }
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

function text(out: Uint8Array, at: number, length: number, value: string, padding = 0x20): void {
  for (let i = 0; i < length; i++) out[at + i] = i < value.length ? value.charCodeAt(i) & 0x7f : padding;
}
