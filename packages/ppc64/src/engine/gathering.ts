// Store gathering: the guest's stores to storage that is caching inhibited and not guarded (the radix attribute "tolerant
// I/O") may be combined on their way to a device. One line of 64 bytes is gathered at a time, in the CPU's state; gather-code.ts
// fills it, and this side decides which pages take part and hands the line out.
// Source: Power ISA 3.0B Book II 1.6 (storage control attributes), 4.6.3 (barriers), Book III 5.7.10.2 (radix attributes).
// A line goes out when it is full, before a store to another line, before any other access to device memory, at sync (all
// of its variants) and eieio, before whatever the interpreter does not do itself (system instructions, interrupts, hypercalls,
// a code page that it does not know), and before run() comes back for any reason. Loads from RAM do not wait for it: the
// architecture does not order them behind such stores without a barrier, and a device's answer in RAM is asked for by
// an access to the device or announced by an interrupt, both of which do. It may go out earlier than it must, never later.
// Invariants: stores to guarded storage, to pages outside of the ranges, and with relocation off are never gathered; outside
// of run() nothing is.

import {
  COMPLETED,
  GATHER_DATA,
  GATHER_LINE,
  GATHER_MASK,
  GATHER_ON,
  GATHER_PENDING,
  LINE_BYTES,
  Step,
} from "./layout.ts";
import type { RadixMmu } from "./radix.ts";
import type { CpuState } from "./state.ts";

const TWO32 = 2 ** 32;
const PAGE = 4096;

/** Guest real addresses from `start` up to, not including, `end`. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** What run() tells of a line. Bit n of the mask (`lo`, `hi`) is byte n. */
export interface GatheredLine {
  gpa: number;
  size: number;
  write: boolean;
  lo: number;
  hi: number;
  readonly bytes: Uint8Array;
}

export class StoreGathering {
  /** Lines that were handed out. */
  bursts = 0;
  private ranges: readonly AddressRange[] = [];
  private readonly u32: Uint32Array;
  private readonly line: GatheredLine;
  private readonly exit: () => number;

  /** `exit` makes run() come back with the line. */
  constructor(options: { state: CpuState; line: GatheredLine; exit: () => number }) {
    this.u32 = options.state.u32;
    this.line = options.line;
    this.exit = options.exit;
  }

  /** Guest real addresses whose stores may be combined; of pages only those that lie wholly inside. */
  use(ranges: readonly AddressRange[]): void {
    this.ranges = [...ranges];
    this.u32[GATHER_ON >> 2] = ranges.length > 0 ? 1 : 0;
  }

  /** Something has been stored that the device does not have yet. */
  get pending(): boolean {
    return this.u32[GATHER_PENDING >> 2] !== 0;
  }

  /** Whether stores to the page that was translated last, one of tolerant I/O, may be gathered. */
  takes(mmu: RadixMmu): boolean {
    const page = mmu.realHi * TWO32 + mmu.realLo - (mmu.realLo & (PAGE - 1));
    return this.ranges.some(({ start, end }) => page >= start && page + PAGE <= end);
  }

  /** Hands the line out; what called this comes again and finds nothing gathered. Returns Step.exit. */
  leave(): number {
    const { u32, line } = this;
    this.bursts++;
    line.gpa = u32[(GATHER_LINE >> 2) + 1]! * TWO32 + u32[GATHER_LINE >> 2]!;
    line.size = LINE_BYTES;
    line.write = true;
    line.lo = u32[GATHER_MASK >> 2]!;
    line.hi = u32[(GATHER_MASK >> 2) + 1]!;
    u32[GATHER_MASK >> 2] = u32[(GATHER_MASK >> 2) + 1] = u32[GATHER_PENDING >> 2] = 0;
    u32[COMPLETED >> 2] = Step.next;
    return this.exit();
  }
}

/** Where the bytes of a line lie; they stay until the next run(). */
export function lineBytes(state: CpuState): Uint8Array {
  return state.u8.subarray(GATHER_DATA, GATHER_DATA + LINE_BYTES);
}
