// What a SCSI transport hands to a logical unit: a command descriptor block and the initiator's buffers.
// Source: SAM-5 section 5 (commands), SPC-4 section 4.2 (CDB formats). All CDB fields are big-endian.

/** Status byte of a command. */
export const GOOD = 0x00;
export const CHECK_CONDITION = 0x02;

export const CDB_BYTES = 16;

export const TEST_UNIT_READY = 0x00;
export const REQUEST_SENSE = 0x03;
export const READ_6 = 0x08;
export const WRITE_6 = 0x0a;
export const INQUIRY = 0x12;
export const MODE_SENSE_6 = 0x1a;
export const START_STOP_UNIT = 0x1b;
export const READ_CAPACITY_10 = 0x25;
export const READ_10 = 0x28;
export const WRITE_10 = 0x2a;
export const SYNCHRONIZE_CACHE_10 = 0x35;
export const MODE_SENSE_10 = 0x5a;
export const READ_16 = 0x88;
export const WRITE_16 = 0x8a;
export const SYNCHRONIZE_CACHE_16 = 0x91;
export const SERVICE_ACTION_IN_16 = 0x9e;
export const REPORT_LUNS = 0xa0;
export const READ_12 = 0xa8;
export const WRITE_12 = 0xaa;

/** The initiator's buffers for one command. Data goes through each in order, from its start. */
export interface ScsiData {
  /** Bytes that the initiator has to send. */
  readonly outBytes: number;
  /** To the initiator; what its buffer has no room for is left out. False: its memory cannot be reached. */
  send(bytes: Uint8Array): boolean;
  /** From the initiator: the next `into.length` bytes. False: there are not so many, or they cannot be reached. */
  receive(into: Uint8Array): boolean;
}

/** What a unit did, for the VM's summary. */
export interface UnitCounters {
  commands: number;
  /** Commands that ended with sense data. */
  failures: number;
  bytesRead: number;
  bytesWritten: number;
}

/** Answers commands. Nothing here throws, whatever the bytes are. */
export interface LogicalUnit {
  readonly counters: Readonly<UnitCounters>;
  /** Carries out a command. Returns its sense as in sense.ts, 0 for status GOOD. */
  execute(cdb: Uint8Array, data: ScsiData): number;
  /** A reset that reached this unit alone; the next command hears of it. */
  reset(): void;
  close(): void;
}

export function be16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function be32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Exact below 2^53; larger numbers stay larger than any disk. */
export function be64(bytes: Uint8Array, at: number): number {
  return be32(bytes, at) * 0x1_0000_0000 + be32(bytes, at + 4);
}

export function putBe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function putBe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
