// INQUIRY: what a logical unit is. Standard data and the vital product data pages that a disk needs.
// Source: SPC-4 sections 6.6 and 7.8, SBC-3 section 6.6 (block limits, block device characteristics).
import { be16, putBe16, putBe32, type ScsiData } from "./command.ts";
import { DATA_PHASE_ERROR, INVALID_FIELD_IN_CDB, SENSE_NONE } from "./sense.ts";

export interface Identity {
  /** Shown in page 0x80 and in the unit's name; at most 36 characters. */
  readonly serial: string | undefined;
  /** Tells units without a serial number apart. */
  readonly name: string;
  /** Blocks that one command may move. */
  readonly maximumBlocks: number;
}

const VENDOR = "MINIVMM ";
const PRODUCT = "SCSI DISK       ";
const REVISION = "1   ";
const STANDARD_BYTES = 36;
const VERSION_SPC3 = 5;
const RESPONSE_FORMAT = 2;
const COMMAND_QUEUING = 2;
/** Peripheral qualifier 3 (nothing can be here), device type unknown. */
const NO_DEVICE = 0x7f;

const PAGE_SUPPORTED = 0x00;
const PAGE_SERIAL = 0x80;
const PAGE_IDENTIFICATION = 0x83;
const PAGE_BLOCK_LIMITS = 0xb0;
const PAGE_CHARACTERISTICS = 0xb1;
const ASCII = 2;
const T10_VENDOR_ID = 1;
/** A designator says its length in a byte; drivers print it. */
const DESIGNATOR_MAX = 64;
const BLOCK_LIMITS_BYTES = 0x3c;
/** Not a rotating medium. */
const SOLID_STATE = 1;

const ASCII_ENCODER = new TextEncoder();

/** Answers an INQUIRY for a disk, or for a place without one (`identity` undefined). Returns the sense. */
export function inquiry(cdb: Uint8Array, data: ScsiData, identity: Identity | undefined): number {
  const vital = (cdb[1]! & 1) !== 0;
  const page = cdb[2]!;
  if ((cdb[1]! & 0xfe) !== 0 || (!vital && page !== 0)) return INVALID_FIELD_IN_CDB;
  let answer: Uint8Array | undefined;
  if (!vital) answer = standardData(identity === undefined ? NO_DEVICE : 0);
  else if (identity !== undefined) answer = vitalPage(page, identity);
  if (answer === undefined) return INVALID_FIELD_IN_CDB;
  return data.send(answer.subarray(0, be16(cdb, 3))) ? SENSE_NONE : DATA_PHASE_ERROR;
}

function standardData(peripheral: number): Uint8Array {
  const answer = new Uint8Array(STANDARD_BYTES);
  answer[0] = peripheral;
  answer[2] = VERSION_SPC3;
  answer[3] = RESPONSE_FORMAT;
  answer[4] = STANDARD_BYTES - 5;
  answer[7] = peripheral === NO_DEVICE ? 0 : COMMAND_QUEUING;
  putText(answer, 8, VENDOR);
  putText(answer, 16, PRODUCT);
  putText(answer, 32, REVISION);
  return answer;
}

function vitalPage(page: number, identity: Identity): Uint8Array | undefined {
  switch (page) {
    case PAGE_SUPPORTED: {
      const pages = [PAGE_SUPPORTED, PAGE_IDENTIFICATION, PAGE_BLOCK_LIMITS, PAGE_CHARACTERISTICS];
      if (identity.serial !== undefined) pages.splice(1, 0, PAGE_SERIAL);
      return pageOf(page, Uint8Array.from(pages));
    }
    case PAGE_SERIAL:
      return identity.serial === undefined ? undefined : pageOf(page, ASCII_ENCODER.encode(identity.serial));
    case PAGE_IDENTIFICATION: {
      const name = ASCII_ENCODER.encode(VENDOR + (identity.serial ?? identity.name)).subarray(0, DESIGNATOR_MAX);
      const body = new Uint8Array(4 + name.length);
      body[0] = ASCII;
      body[1] = T10_VENDOR_ID;
      body[3] = name.length;
      body.set(name, 4);
      return pageOf(page, body);
    }
    case PAGE_BLOCK_LIMITS: {
      const body = new Uint8Array(BLOCK_LIMITS_BYTES);
      putBe32(body, 4, identity.maximumBlocks);
      return pageOf(page, body);
    }
    case PAGE_CHARACTERISTICS: {
      const body = new Uint8Array(BLOCK_LIMITS_BYTES);
      putBe16(body, 0, SOLID_STATE);
      return pageOf(page, body);
    }
    default:
      return undefined;
  }
}

function pageOf(page: number, body: Uint8Array): Uint8Array {
  const answer = new Uint8Array(4 + body.length);
  answer[1] = page;
  putBe16(answer, 2, body.length);
  answer.set(body, 4);
  return answer;
}

function putText(into: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i);
}
