// Get Log Page (NVM Express 1.4 section 5.14): error information, SMART, firmware slot, commands supported and effects.
// Reads may start at an offset; a read beyond the end of a page gets what there is, and the rest of the host's buffer
// stays as it was.
import type { CommandContext } from "./context.ts";
import { EVENT_ERROR, EVENT_SMART } from "./events.ts";
import { TEMPERATURE } from "./features.ts";
import { ERROR_LOG_ENTRIES, type ErrorEntry } from "./statistics.ts";
import { DATA_TRANSFER_ERROR, INVALID_FIELD, INVALID_LOG_PAGE, SUCCESS } from "./status.ts";

const ERROR_ENTRY = 64;
const LOG_ERROR = 1;
const LOG_SMART = 2;
const LOG_FIRMWARE = 3;
const LOG_EFFECTS = 5;
const SIZES = new Map([
  [LOG_ERROR, ERROR_LOG_ENTRIES * ERROR_ENTRY],
  [LOG_SMART, 512],
  [LOG_FIRMWARE, 512],
  [LOG_EFFECTS, 4096],
]);

const ADMIN_OPCODES = [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c];
/** Flush, write, read, write zeroes, dataset management; those that change blocks have LBCC. */
const IO_OPCODES = [0x00, 0x01, 0x02, 0x08, 0x09];
const CSUPP = 1;
const LBCC = 2;
const CHANGES_BLOCKS = new Set([0x01, 0x08, 0x09]);

/** Get Log Page. The dwords are those of the command. */
export function getLogPage(controller: CommandContext, sqe: Uint32Array): number {
  const cdw10 = sqe[10]!;
  const id = cdw10 & 0xff;
  const size = SIZES.get(id);
  if (size === undefined) return INVALID_LOG_PAGE;
  const offset = sqe[13]! * 0x1_0000_0000 + sqe[12]!;
  if (offset > size || offset % 4 !== 0) return INVALID_FIELD;
  const wanted = ((sqe[11]! & 0xffff) * 0x1_0000 + (cdw10 >>> 16) + 1) * 4;
  const length = Math.min(wanted, size - offset);
  if (length === 0) return SUCCESS;
  const { transfer, device } = controller;
  const status = transfer.map(device.dma, sqe, length, controller.pageSize);
  if (status !== SUCCESS) return status;
  const page = new Uint8Array(size);
  fill(controller, id, page);
  transfer.buffer.set(page.subarray(offset, offset + length));
  if (!transfer.toMemory(device.dma)) return DATA_TRANSFER_ERROR;
  // Reading a page re-arms its events, unless the host asks to retain them.
  if (!(cdw10 & 0x8000)) {
    if (id === LOG_ERROR) controller.events.unmask(EVENT_ERROR);
    if (id === LOG_SMART) controller.events.unmask(EVENT_SMART);
  }
  return SUCCESS;
}

function fill(controller: CommandContext, id: number, page: Uint8Array): void {
  const view = new DataView(page.buffer);
  switch (id) {
    case LOG_ERROR:
      controller.statistics.recent.forEach((entry, index) => {
        fillError(view, index * ERROR_ENTRY, entry);
      });
      break;
    case LOG_SMART:
      fillSmart(controller, page, view);
      break;
    case LOG_FIRMWARE:
      page[0] = 1;
      for (let i = 0; i < 8; i++) page[8 + i] = controller.settings.firmware.charCodeAt(i) || 0x20;
      break;
    case LOG_EFFECTS:
      for (const opcode of ADMIN_OPCODES) view.setUint32(opcode * 4, CSUPP, true);
      for (const opcode of IO_OPCODES) {
        view.setUint32(1024 + opcode * 4, CSUPP | (CHANGES_BLOCKS.has(opcode) ? LBCC : 0), true);
      }
  }
}

function fillError(view: DataView, at: number, entry: ErrorEntry): void {
  setU64(view, at, entry.number);
  view.setUint16(at + 8, entry.sqid, true);
  view.setUint16(at + 10, entry.cid, true);
  view.setUint16(at + 12, entry.status << 1, true);
  view.setUint16(at + 14, 0xffff, true);
  setU64(view, at + 16, entry.lba);
  view.setUint32(at + 24, entry.nsid, true);
}

function fillSmart(controller: CommandContext, page: Uint8Array, view: DataView): void {
  const { statistics, features } = controller;
  page[0] = features.temperatureAlarm ? 2 : 0;
  view.setUint16(1, TEMPERATURE, true);
  page[3] = 100;
  page[4] = 10;
  // A data unit is a thousand 512-byte blocks, rounded up.
  setU64(view, 32, Math.ceil(statistics.bytesRead / 512_000));
  setU64(view, 48, Math.ceil(statistics.bytesWritten / 512_000));
  setU64(view, 64, statistics.readCommands);
  setU64(view, 80, statistics.writeCommands);
  setU64(view, 112, 1);
  setU64(view, 176, statistics.errors);
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
