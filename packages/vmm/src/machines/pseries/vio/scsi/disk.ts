// A SCSI disk on the project's Disk interface: the commands that a direct-access block device has to know.
// Source: SBC-3 (block commands), SPC-4 (primary commands). Blocks have 512 bytes; the write cache is on, so what was
// written is durable after SYNCHRONIZE CACHE or a write with FUA.
// Invariants: an access to the disk lies inside it, because the block range is checked first; one command moves at most
// MAXIMUM_BLOCKS, so that no command keeps the machine for long; a read moves through one buffer in pieces.
import type { Disk } from "@minivmm/pci/devices";
import * as op from "./command.ts";
import { be16, be32, be64, type LogicalUnit, putBe32, type ScsiData, type UnitCounters } from "./command.ts";
import { type Identity, inquiry } from "./inquiry.ts";
import { type ModeFacts, modeSense } from "./mode-sense.ts";
import * as sense from "./sense.ts";

export const BLOCK_BYTES = 512;
/** 2 MiB, what the adapter tells its clients too. */
export const MAXIMUM_BLOCKS = 4096;
const BUFFER_BYTES = 0x1_0000;

const PROTECT_MASK = 0xe0;
const FORCE_UNIT_ACCESS = 0x08;
const PARTIAL_MEDIUM = 1;
const START = 1;
const LOAD_EJECT = 2;
const SAI_READ_CAPACITY_16 = 0x10;
const READ_CAPACITY_16_BYTES = 32;

export interface ScsiDiskOptions {
  readonly disk: Disk;
  /** Names the unit where it has no serial number. */
  readonly name: string;
  readonly serial?: string | undefined;
}

export class ScsiDisk implements LogicalUnit {
  readonly counters: UnitCounters = { commands: 0, failures: 0, bytesRead: 0, bytesWritten: 0 };
  private readonly disk: Disk;
  private readonly identity: Identity;
  private readonly facts: ModeFacts;
  private readonly blocks: number;
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  /** What the next command is told instead of being carried out. */
  private attention = sense.POWER_ON_OCCURRED;

  constructor({ disk, name, serial }: ScsiDiskOptions) {
    this.disk = disk;
    this.blocks = Math.floor(disk.size / BLOCK_BYTES);
    this.identity = { serial, name, maximumBlocks: MAXIMUM_BLOCKS };
    this.facts = { writeProtected: disk.readonly, blocks: this.blocks, blockBytes: BLOCK_BYTES };
  }

  execute(cdb: Uint8Array, data: ScsiData): number {
    this.counters.commands++;
    const result = this.dispatch(cdb, data);
    if (result !== sense.SENSE_NONE) this.counters.failures++;
    return result;
  }

  reset(): void {
    this.attention = sense.BUS_DEVICE_RESET_OCCURRED;
  }

  close(): void {
    this.disk.close();
  }

  private dispatch(cdb: Uint8Array, data: ScsiData): number {
    switch (cdb[0]) {
      // These two are answered whatever happened to the unit.
      case op.INQUIRY:
        return inquiry(cdb, data, this.identity);
      case op.REQUEST_SENSE:
        return requestSense(cdb, data, this.takeAttention());
    }
    const attention = this.takeAttention();
    if (attention !== sense.SENSE_NONE) return attention;
    switch (cdb[0]) {
      case op.TEST_UNIT_READY:
        return sense.SENSE_NONE;
      case op.START_STOP_UNIT:
        // There is nothing that turns and nothing to take out.
        return (cdb[4]! & LOAD_EJECT) !== 0 && (cdb[4]! & START) === 0 ? sense.INVALID_FIELD_IN_CDB : sense.SENSE_NONE;
      case op.MODE_SENSE_6:
        return modeSense(cdb, data, false, this.facts);
      case op.MODE_SENSE_10:
        return modeSense(cdb, data, true, this.facts);
      case op.READ_CAPACITY_10:
        return this.readCapacity10(cdb, data);
      case op.SERVICE_ACTION_IN_16:
        return this.readCapacity16(cdb, data);
      case op.READ_6:
        return this.read(data, lba6(cdb), cdb[4]! || 256);
      case op.WRITE_6:
        return this.write(data, lba6(cdb), cdb[4]! || 256, false);
      case op.READ_10:
        return this.protectedRead(cdb, data, be32(cdb, 2), be16(cdb, 7));
      case op.READ_12:
        return this.protectedRead(cdb, data, be32(cdb, 2), be32(cdb, 6));
      case op.READ_16:
        return this.protectedRead(cdb, data, be64(cdb, 2), be32(cdb, 10));
      case op.WRITE_10:
        return this.protectedWrite(cdb, data, be32(cdb, 2), be16(cdb, 7));
      case op.WRITE_12:
        return this.protectedWrite(cdb, data, be32(cdb, 2), be32(cdb, 6));
      case op.WRITE_16:
        return this.protectedWrite(cdb, data, be64(cdb, 2), be32(cdb, 10));
      case op.SYNCHRONIZE_CACHE_10:
        return this.synchronize(be32(cdb, 2), be16(cdb, 7));
      case op.SYNCHRONIZE_CACHE_16:
        return this.synchronize(be64(cdb, 2), be32(cdb, 10));
      default:
        return sense.INVALID_OPCODE;
    }
  }

  private takeAttention(): number {
    const { attention } = this;
    this.attention = sense.SENSE_NONE;
    return attention;
  }

  private readCapacity10(cdb: Uint8Array, data: ScsiData): number {
    if ((cdb[8]! & PARTIAL_MEDIUM) === 0 && be32(cdb, 2) !== 0) return sense.INVALID_FIELD_IN_CDB;
    const answer = new Uint8Array(8);
    putBe32(answer, 0, Math.min(this.blocks - 1, 0xffffffff));
    putBe32(answer, 4, BLOCK_BYTES);
    return data.send(answer) ? sense.SENSE_NONE : sense.DATA_PHASE_ERROR;
  }

  private readCapacity16(cdb: Uint8Array, data: ScsiData): number {
    if ((cdb[1]! & 0x1f) !== SAI_READ_CAPACITY_16) return sense.INVALID_FIELD_IN_CDB;
    if ((cdb[14]! & PARTIAL_MEDIUM) === 0 && be64(cdb, 2) !== 0) return sense.INVALID_FIELD_IN_CDB;
    const answer = new Uint8Array(READ_CAPACITY_16_BYTES);
    const last = this.blocks - 1;
    putBe32(answer, 0, Math.floor(last / 0x1_0000_0000));
    putBe32(answer, 4, last % 0x1_0000_0000);
    putBe32(answer, 8, BLOCK_BYTES);
    return data.send(answer.subarray(0, be32(cdb, 10))) ? sense.SENSE_NONE : sense.DATA_PHASE_ERROR;
  }

  /** Protection information is for disks that were formatted with it. */
  private protectedRead(cdb: Uint8Array, data: ScsiData, block: number, count: number): number {
    return (cdb[1]! & PROTECT_MASK) !== 0 ? sense.INVALID_FIELD_IN_CDB : this.read(data, block, count);
  }

  private protectedWrite(cdb: Uint8Array, data: ScsiData, block: number, count: number): number {
    if ((cdb[1]! & PROTECT_MASK) !== 0) return sense.INVALID_FIELD_IN_CDB;
    return this.write(data, block, count, (cdb[1]! & FORCE_UNIT_ACCESS) !== 0);
  }

  private checkRange(block: number, count: number): number {
    if (block + count > this.blocks || block >= this.blocks) return sense.LBA_OUT_OF_RANGE;
    return count > MAXIMUM_BLOCKS ? sense.INVALID_FIELD_IN_CDB : sense.SENSE_NONE;
  }

  private read(data: ScsiData, block: number, count: number): number {
    const wrong = this.checkRange(block, count);
    if (wrong !== sense.SENSE_NONE) return wrong;
    const end = (block + count) * BLOCK_BYTES;
    for (let at = block * BLOCK_BYTES; at < end; at += BUFFER_BYTES) {
      const piece = this.piece(end - at);
      if (this.disk.read(at, piece) < 0) return sense.UNRECOVERED_READ_ERROR;
      if (!data.send(piece)) return sense.DATA_PHASE_ERROR;
      this.counters.bytesRead += piece.length;
    }
    return sense.SENSE_NONE;
  }

  private write(data: ScsiData, block: number, count: number, durable: boolean): number {
    const wrong = this.checkRange(block, count);
    if (wrong !== sense.SENSE_NONE) return wrong;
    if (this.disk.readonly) return sense.WRITE_PROTECTED;
    // Nothing is written when not everything can be.
    if (data.outBytes < count * BLOCK_BYTES) return sense.INVALID_FIELD_IN_IU;
    const end = (block + count) * BLOCK_BYTES;
    for (let at = block * BLOCK_BYTES; at < end; at += BUFFER_BYTES) {
      const piece = this.piece(end - at);
      if (!data.receive(piece)) return sense.DATA_PHASE_ERROR;
      if (this.disk.write(at, piece) < 0) return sense.WRITE_ERROR;
      this.counters.bytesWritten += piece.length;
    }
    return durable ? this.flush() : sense.SENSE_NONE;
  }

  /** The whole disk is flushed, whichever blocks are named; they have to exist. */
  private synchronize(block: number, count: number): number {
    return block + count > this.blocks ? sense.LBA_OUT_OF_RANGE : this.flush();
  }

  private flush(): number {
    return this.disk.flush() < 0 ? sense.WRITE_ERROR : sense.SENSE_NONE;
  }

  private piece(bytes: number): Uint8Array {
    return bytes >= BUFFER_BYTES ? this.buffer : this.buffer.subarray(0, bytes);
  }
}

/** Answers REQUEST SENSE with `what`, which is GOOD and data even when there is nothing to tell. Returns the sense. */
export function requestSense(cdb: Uint8Array, data: ScsiData, what: number): number {
  const descriptor = (cdb[1]! & 1) !== 0;
  const answer = new Uint8Array(descriptor ? sense.DESCRIPTOR_SENSE_BYTES : sense.FIXED_SENSE_BYTES);
  if (descriptor) sense.putDescriptorSense(answer, 0, what);
  else sense.putFixedSense(answer, 0, what);
  return data.send(answer.subarray(0, cdb[4]!)) ? sense.SENSE_NONE : sense.DATA_PHASE_ERROR;
}

function lba6(cdb: Uint8Array): number {
  return ((cdb[1]! & 0x1f) << 16) | be16(cdb, 2);
}
