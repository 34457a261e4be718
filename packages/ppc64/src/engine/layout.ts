// Where everything lies in the one shared WebAssembly.Memory: CPU state from address 0, then the soft TLBs, the pool of
// decoded pages, frames for pages of other memory, and guest RAM at a 64 KiB boundary. All offsets are bytes.
// Invariants: GPR n sits at 8n (so gpr64[n] is GPR n); offsets of registers fit the 16-bit operand fields of a record.

/** GPRs 0..31, 8 bytes each, then a slot that always reads as zero: the register operand of (RA|0) with RA = 0. */
export const GPR = 0;
export const ZERO = 256;
export const MSR = 264;
/** Next instruction when the interpreter is not running; the current one while it calls out. */
export const PC = 272;
/** Instructions until the next event, in record bytes (i32). */
export const LEFT = 280;
/** Data TLB of the current context (i32 address), and its code TLB. */
export const DATA_TLB = 284;
export const CODE_TLB = 288;
/** Why the current instruction does not continue: a Step value. */
export const STATUS = 292;
/** Time base at the moment LEFT reaches zero (u64). */
export const END_TIME = 296;
/** Reservation: wasm address + 1 of the granule (0 = none), its size and the value that was loaded. */
export const RESERVATION = 304;
export const RESERVATION_SIZE = 308;
export const RESERVATION_VALUE = 312;
/** CR0..CR7, one byte each, value 0..15 (LT 8, GT 4, EQ 2, SO 1). */
export const CR = 320;
/** XER bits, one byte each, 0 or 1; the string count is the low 7 bits of XER. */
export const XER_SO = 328;
export const XER_OV = 329;
export const XER_CA = 330;
export const XER_OV32 = 331;
export const XER_CA32 = 332;
export const XER_COUNT = 333;
/** Value of an access that left the fast path, 16 bytes. */
export const SCRATCH = 336;
/** 1 while there is compiled code for hypercalls (i32). */
export const COMPILED = 352;
/** Byte address of guest real 0, and bytes of RAM from there on (i32). */
export const RAM_START = 356;
export const RAM_BYTES = 360;
/** 1 while stores to some pages are gathered (i32; see gathering.ts), and 1 while some of a line have been (i32). */
export const GATHER_ON = 388;
export const GATHER_PENDING = 392;
/** That line: a bit for each byte that is there (u64), its guest real address (u64), and its bytes. */
export const GATHER_MASK = 368;
export const GATHER_LINE = 376;
export const GATHER_DATA = 448;
export const LINE_BYTES = 64;
/** Step value of an instruction that the interpreter's step() has completed (i32). */
export const COMPLETED = 384;
/** 1024 special-purpose registers, 8 bytes each: the home of those that are plain storage. */
export const SPR = 1024;

export const sprOffset = (n: number): number => SPR + 8 * n;
export const gprOffset = (n: number): number => GPR + 8 * n;

/**
 * Soft TLB entry: tag (u64, page address or an odd value when invalid), host address minus guest address (i32). A write
 * entry whose tag is the page address plus GATHER_TAG hits no access; it says that stores are gathered, and holds the guest
 * real address of the page (u64) instead.
 */
export const TLB_ENTRY_BYTES = 16;
export const GATHER_TAG = 2;
export const TLB_ENTRIES = 1024;
const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
/** The write TLB of a context follows its read TLB. */
export const WRITE_TLB = TLB_BYTES;
/** Data contexts: real mode, problem state, and the kernel under each of the four access rights that AMR gives key 0. */
export const DATA_CONTEXTS = 6;
export const DATA_TLBS = 65536;
export const dataTlb = (context: number): number => DATA_TLBS + context * 2 * TLB_BYTES;

export const CODE_TLB_ENTRIES = 512;
const CODE_TLB_BYTES = CODE_TLB_ENTRIES * TLB_ENTRY_BYTES;
/** Code contexts: real mode, kernel, problem state, and one that stays empty (modes that are not modelled). */
export const CODE_CONTEXTS = 4;
export const CODE_TLBS = dataTlb(DATA_CONTEXTS);
export const codeTlb = (context: number): number => CODE_TLBS + context * CODE_TLB_BYTES;

/**
 * A record is one predecoded instruction, 16 bytes: handler index (u16), three operands (u16: byte offsets of registers
 * or small numbers) and a 64-bit immediate. A decoded page holds 1024 of them, one more that leaves the page,
 * and a copy of the guest page it was decoded from. The stride is no power of two, so that pages do not alias in a cache.
 */
export const RECORD_BYTES = 16;
export const RECORD_SHIFT = 4;
export const PAGE_INSTRUCTIONS = 1024;
export const SNAPSHOT = (PAGE_INSTRUCTIONS + 1) * RECORD_BYTES;
export const DECODED_PAGE_BYTES = SNAPSHOT + 4096 + 64 - ((SNAPSHOT + 4096) % 64);
export const DECODED_PAGES = codeTlb(CODE_CONTEXTS);

const WASM_PAGE = 65536;
const roundUp = (value: number): number => Math.ceil(value / WASM_PAGE) * WASM_PAGE;

export interface MemoryPlan {
  /** Where copies of pages of other memory lie (see page-frames.ts). */
  readonly frameOffset: number;
  /** Address of guest real 0. */
  readonly ramOffset: number;
  readonly totalBytes: number;
}

/** Where things lie in a memory for so much RAM, so many decoded pages and page frames. */
export function memoryPlan(ramBytes: number, decodePages: number, framePages: number): MemoryPlan {
  const frameOffset = Math.ceil((DECODED_PAGES + decodePages * DECODED_PAGE_BYTES) / 4096) * 4096;
  const ramOffset = roundUp(frameOffset + framePages * 4096);
  return { frameOffset, ramOffset, totalBytes: roundUp(ramOffset + ramBytes) };
}

/** What an instruction that left the fast path tells the interpreter. */
export const Step = {
  /** Completed; go on with the next record. */
  next: 0,
  /** PC, MSR or LEFT changed: start again from the state. */
  resync: 1,
  /** Leave to the caller of run(); the exit is described. */
  exit: 2,
  /** Completed, but leave: PC is still the instruction's, and it is not counted. */
  done: 3,
} as const;
