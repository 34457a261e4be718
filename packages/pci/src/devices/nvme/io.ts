// The NVM command set (NVM Express 1.4 section 6): flush, read, write, write zeroes and dataset management.
// Data passes through the controller's buffer, but for reads of a disk in host memory, which go straight to the guest;
// nothing here allocates on the read and write paths.
// Invariant: a disk access lies inside the namespace, because the block range is checked first.
import type { CommandContext } from "./context.ts";
import { NAMESPACE_COUNT } from "./identify.ts";
import * as status from "./status.ts";

const FLUSH = 0x00;
const WRITE = 0x01;
const READ = 0x02;
const WRITE_ZEROES = 0x08;
const DATASET_MANAGEMENT = 0x09;
const BROADCAST = 0xffffffff;
const FORCE_UNIT_ACCESS = 0x4000_0000;
const DSM_DEALLOCATE = 4;
const DSM_RANGE = 16;

/** Execute one I/O command. Returns a status. */
export function ioCommand(controller: CommandContext, sqe: Uint32Array): number {
  const opcode = sqe[0]! & 0xff;
  const nsid = sqe[1]!;
  const broadcast = opcode === FLUSH && nsid === BROADCAST;
  if ((nsid < 1 || nsid > NAMESPACE_COUNT) && !broadcast) return status.INVALID_NAMESPACE;
  switch (opcode) {
    case READ:
      return read(controller, sqe);
    case WRITE:
      return write(controller, sqe);
    case FLUSH:
      return controller.disk.flush() < 0 ? status.WRITE_FAULT : status.SUCCESS;
    case WRITE_ZEROES:
      return writeZeroes(controller, sqe);
    case DATASET_MANAGEMENT:
      return datasetManagement(controller, sqe);
    default:
      return status.INVALID_OPCODE;
  }
}

/** First block of a command, exact below 2^53; larger numbers are out of range whatever they round to. */
const startBlock = (sqe: Uint32Array): number => sqe[11]! * 0x1_0000_0000 + sqe[10]!;
const blockCount = (sqe: Uint32Array): number => (sqe[12]! & 0xffff) + 1;

function read(controller: CommandContext, sqe: Uint32Array): number {
  const { settings, transfer, disk, device, statistics } = controller;
  const start = startBlock(sqe);
  const blocks = blockCount(sqe);
  const length = blocks * settings.blockSize;
  if (length > transfer.buffer.length) return status.INVALID_FIELD;
  if (start + blocks > settings.blocks) return status.LBA_OUT_OF_RANGE;
  const mapped = transfer.map(device.dma, sqe, length, controller.pageSize);
  if (mapped !== status.SUCCESS) return mapped;
  const offset = start * settings.blockSize;
  if (disk.memory) {
    if (!transfer.toMemoryFrom(device.dma, disk.memory, offset)) return status.DATA_TRANSFER_ERROR;
  } else {
    if (disk.read(offset, transfer.prefix(length)) < 0) return status.UNRECOVERED_READ;
    if (!transfer.toMemory(device.dma)) return status.DATA_TRANSFER_ERROR;
  }
  statistics.readCommands++;
  statistics.bytesRead += length;
  return status.SUCCESS;
}

function write(controller: CommandContext, sqe: Uint32Array): number {
  const { settings, transfer, disk, device, statistics } = controller;
  const start = startBlock(sqe);
  const blocks = blockCount(sqe);
  const length = blocks * settings.blockSize;
  if (length > transfer.buffer.length) return status.INVALID_FIELD;
  if (start + blocks > settings.blocks) return status.LBA_OUT_OF_RANGE;
  if (disk.readonly) return status.NAMESPACE_WRITE_PROTECTED;
  const mapped = transfer.map(device.dma, sqe, length, controller.pageSize);
  if (mapped !== status.SUCCESS) return mapped;
  if (!transfer.fromMemory(device.dma)) return status.DATA_TRANSFER_ERROR;
  if (disk.write(start * settings.blockSize, transfer.prefix(length)) < 0) return status.WRITE_FAULT;
  statistics.writeCommands++;
  statistics.bytesWritten += length;
  return writeThrough(controller, sqe);
}

/** Without the volatile cache, or with FUA, a write is complete only when it is durable. */
function writeThrough(controller: CommandContext, sqe: Uint32Array): number {
  if (controller.features.writeCache && !(sqe[12]! & FORCE_UNIT_ACCESS)) return status.SUCCESS;
  return controller.disk.flush() < 0 ? status.WRITE_FAULT : status.SUCCESS;
}

function writeZeroes(controller: CommandContext, sqe: Uint32Array): number {
  const { settings, transfer, disk } = controller;
  const start = startBlock(sqe);
  const blocks = blockCount(sqe);
  if (start + blocks > settings.blocks) return status.LBA_OUT_OF_RANGE;
  if (disk.readonly) return status.NAMESPACE_WRITE_PROTECTED;
  const end = (start + blocks) * settings.blockSize;
  const step = transfer.buffer.length;
  transfer.buffer.fill(0, 0, Math.min(step, blocks * settings.blockSize));
  for (let at = start * settings.blockSize; at < end; at += step) {
    if (disk.write(at, transfer.prefix(Math.min(step, end - at))) < 0) return status.WRITE_FAULT;
  }
  return writeThrough(controller, sqe);
}

/** Deallocate is a hint: every range is checked, and disks that can drop contents do. */
function datasetManagement(controller: CommandContext, sqe: Uint32Array): number {
  const { settings, transfer, disk, device } = controller;
  const ranges = (sqe[10]! & 0xff) + 1;
  const mapped = transfer.map(device.dma, sqe, ranges * DSM_RANGE, controller.pageSize);
  if (mapped !== status.SUCCESS) return mapped;
  if (!transfer.fromMemory(device.dma)) return status.DATA_TRANSFER_ERROR;
  if (!(sqe[11]! & DSM_DEALLOCATE)) return status.SUCCESS;
  if (disk.readonly) return status.NAMESPACE_WRITE_PROTECTED;
  const view = new DataView(transfer.buffer.buffer, 0, ranges * DSM_RANGE);
  for (let at = 0; at < view.byteLength; at += DSM_RANGE) {
    const blocks = view.getUint32(at + 4, true);
    const start = view.getUint32(at + 12, true) * 0x1_0000_0000 + view.getUint32(at + 8, true);
    if (start + blocks > settings.blocks) return status.LBA_OUT_OF_RANGE;
  }
  // Ranges may overlap; one command discards at most the size of the disk, the rest of the hint is ignored.
  let budget = disk.size;
  for (let at = 0; at < view.byteLength; at += DSM_RANGE) {
    const length = Math.min(view.getUint32(at + 4, true) * settings.blockSize, budget);
    budget -= length;
    const offset = (view.getUint32(at + 12, true) * 0x1_0000_0000 + view.getUint32(at + 8, true)) * settings.blockSize;
    if (length > 0 && (disk.discard?.(offset, length) ?? 0) < 0) return status.WRITE_FAULT;
  }
  return status.SUCCESS;
}
