// What the engine did, for summaries and for finding out why something is slow.

import type { MemoryAccess } from "./access.ts";
import type { Decoder } from "./decoder.ts";
import type { StoreGathering } from "./gathering.ts";
import type { Interrupts } from "./interrupts.ts";

export interface CpuCounters {
  /** Data accesses that the soft TLB did not answer: first touches, page crossings, device memory, faults. */
  readonly tlbMisses: number;
  /** Lines of gathered stores that were handed out. */
  readonly bursts: number;
  /** Code TLB misses. */
  readonly codeMisses: number;
  /** Code pages taken into the decode pool, and instructions decoded. */
  readonly decodedPages: number;
  readonly decodedInstructions: number;
  /** Decoded pages found changed by the guest, and times the whole pool was dropped because it was full. */
  readonly changedPages: number;
  readonly poolResets: number;
  /** Interrupts taken, by vector ("0x300"). */
  readonly exceptions: Readonly<Record<string, number>>;
}

export function readCounters(
  access: MemoryAccess,
  decoder: Decoder,
  interrupts: Interrupts,
  gathering: StoreGathering,
  codeMisses: number,
): CpuCounters {
  const exceptions: Record<string, number> = {};
  for (const [index, count] of interrupts.taken.entries()) {
    if (count > 0) exceptions[`0x${(index * 32).toString(16)}`] = count;
  }
  return {
    tlbMisses: access.misses,
    bursts: gathering.bursts,
    codeMisses,
    decodedPages: decoder.counters.pages,
    decodedInstructions: decoder.counters.instructions,
    changedPages: decoder.counters.changed,
    poolResets: decoder.counters.poolResets,
    exceptions,
  };
}
