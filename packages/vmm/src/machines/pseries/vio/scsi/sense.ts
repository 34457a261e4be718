// Why a SCSI command failed, as one number 0xKKCCQQ: sense key, additional sense code and its qualifier; 0 is success.
// Source: SPC-4 sections 4.5 and D (sense data formats, additional sense codes).

export const SENSE_NONE = 0;
export const UNRECOVERED_READ_ERROR = 0x031100;
export const WRITE_ERROR = 0x030c00;
/** The initiator's memory cannot be reached. */
export const DATA_PHASE_ERROR = 0x044b00;
/** What came with the command (buffer descriptors) makes no sense. */
export const INVALID_FIELD_IN_IU = 0x050e03;
export const INVALID_OPCODE = 0x052000;
export const LBA_OUT_OF_RANGE = 0x052100;
export const INVALID_FIELD_IN_CDB = 0x052400;
export const LUN_NOT_SUPPORTED = 0x052500;
export const SAVING_PARAMETERS_NOT_SUPPORTED = 0x053900;
export const POWER_ON_OCCURRED = 0x062900;
export const BUS_DEVICE_RESET_OCCURRED = 0x062903;
export const WRITE_PROTECTED = 0x072700;

export const FIXED_SENSE_BYTES = 18;
export const DESCRIPTOR_SENSE_BYTES = 8;
const FIXED_CURRENT = 0x70;
const DESCRIPTOR_CURRENT = 0x72;
/** Bytes of fixed sense data behind byte 7. */
const FIXED_ADDITIONAL = FIXED_SENSE_BYTES - 8;

/** Fixed format, current error, at `at`. The bytes there are zero. */
export function putFixedSense(into: Uint8Array, at: number, sense: number): void {
  into[at] = FIXED_CURRENT;
  into[at + 2] = sense >>> 16;
  into[at + 7] = FIXED_ADDITIONAL;
  into[at + 12] = (sense >>> 8) & 0xff;
  into[at + 13] = sense & 0xff;
}

/** Descriptor format without descriptors. */
export function putDescriptorSense(into: Uint8Array, at: number, sense: number): void {
  into[at] = DESCRIPTOR_CURRENT;
  into[at + 1] = sense >>> 16;
  into[at + 2] = (sense >>> 8) & 0xff;
  into[at + 3] = sense & 0xff;
}
