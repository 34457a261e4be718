// Completion status codes (NVM Express 1.4 section 4.6.1): SC in bits 7:0, SCT in 10:8, Do Not Retry in 14.
// The completion entry carries this field shifted left by one, above the phase tag.

const DNR = 0x4000;
const generic = (code: number): number => code;
const specific = (code: number): number => 0x100 | code;
const media = (code: number): number => 0x200 | code;

/** Not a status: the command stays outstanding and gets its completion later. */
export const NO_COMPLETION = -1;
export const SUCCESS = generic(0x00);
export const INVALID_OPCODE = generic(0x01) | DNR;
export const INVALID_FIELD = generic(0x02) | DNR;
export const DATA_TRANSFER_ERROR = generic(0x04);
export const COMMAND_ABORT_REQUESTED = generic(0x07);
export const INVALID_NAMESPACE = generic(0x0b) | DNR;
export const COMMAND_SEQUENCE_ERROR = generic(0x0c) | DNR;
export const INVALID_PRP_OFFSET = generic(0x13) | DNR;
export const NAMESPACE_WRITE_PROTECTED = generic(0x20) | DNR;
export const LBA_OUT_OF_RANGE = generic(0x80) | DNR;

export const INVALID_CQ = specific(0x00) | DNR;
export const INVALID_QUEUE_ID = specific(0x01) | DNR;
export const INVALID_QUEUE_SIZE = specific(0x02) | DNR;
export const ASYNC_EVENT_LIMIT = specific(0x05) | DNR;
export const INVALID_INTERRUPT_VECTOR = specific(0x08) | DNR;
export const INVALID_LOG_PAGE = specific(0x09) | DNR;
export const INVALID_QUEUE_DELETION = specific(0x0c) | DNR;
export const FEATURE_NOT_SAVEABLE = specific(0x0d) | DNR;

export const WRITE_FAULT = media(0x80);
export const UNRECOVERED_READ = media(0x81);
