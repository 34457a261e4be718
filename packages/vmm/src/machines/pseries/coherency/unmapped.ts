// Pages that were taken out of DMA windows lately, and by what: the answer to a device that still uses one.
// Invariants: at most RANGES_MAX runs of pages are kept, the oldest go first; pages that one call takes out in a row are one run.
import type { SpaprTceTable } from "../tce-table.ts";

/** A call of the guest that changes mappings. */
export interface GuestCall {
  /** "H_PUT_TCE", or what it is. */
  readonly name: string;
  readonly pc: bigint;
}

interface Run {
  readonly liobn: number;
  readonly call: GuestCall;
  readonly pageBytes: number;
  /** Bus address of the first page. */
  readonly busHi: number;
  readonly busLo: number;
  /** The entries that were there. */
  readonly entries: number[];
}

export interface FormerMapping {
  readonly call: GuestCall;
  /** The entry, as halves. */
  readonly hi: number;
  readonly lo: number;
}

export const RANGES_MAX = 1024;
/** An entry is two numbers. */
const HALVES = 2;
const ENTRIES_MAX = 512 * HALVES;

export class UnmappedRanges {
  private readonly runs: Run[] = [];

  /** Entry `index` of the table, with these halves, is taken out by `call`. */
  add(table: SpaprTceTable, index: number, hi: number, lo: number, call: GuestCall): void {
    const { liobn, pageBytes } = table;
    const offset = table.busLo + table.offsetOf(index);
    const busHi = table.busHi + Math.floor(offset / 2 ** 32);
    const busLo = offset % 2 ** 32;
    const last = this.runs.at(-1);
    const next = last !== undefined && last.entries.length < ENTRIES_MAX && last.liobn === liobn;
    if (
      next &&
      last.call === call &&
      last.pageBytes === pageBytes &&
      pageOf(last, busHi, busLo) === last.entries.length / HALVES
    ) {
      last.entries.push(hi, lo);
      return;
    }
    this.runs.push({ liobn, call, pageBytes, busHi, busLo, entries: [hi, lo] });
    if (this.runs.length > RANGES_MAX) this.runs.shift();
  }

  /** What was mapped at a bus address in one of these windows last. */
  find(liobns: readonly number[], busHi: number, busLo: number): FormerMapping | undefined {
    for (let n = this.runs.length - 1; n >= 0; n--) {
      const run = this.runs[n] as Run;
      if (!liobns.includes(run.liobn)) continue;
      const page = pageOf(run, busHi, busLo);
      if (page < 0 || page * HALVES >= run.entries.length) continue;
      const [hi = 0, lo = 0] = run.entries.slice(page * HALVES, page * HALVES + HALVES);
      return { call: run.call, hi, lo };
    }
    return undefined;
  }
}

/** Which page of a run an address is in, counted from its first one; outside it is below 0, or too large. */
function pageOf({ busHi, busLo, pageBytes }: Run, hi: number, lo: number): number {
  return Math.floor(((hi - busHi) * 2 ** 32 + (lo - busLo)) / pageBytes);
}
