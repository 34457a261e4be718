// What hypercalls on TCEs came to, counted in the VM's record of the arena, so that every stage counts in one place:
// calls by stage, kind and outcome, entries written by stage and kind, and why calls were left to the next stage.
// Counters are 64-bit; index times two words from VM.COUNTERS. No allocation except by `snapshot`.

import { H_PARAMETER, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { readNumber, type TceArena, VM } from "../arena/index.ts";

/** Stages: in front of the kernel proper (real mode: compiled code), and the kernel proper. */
export const STAGES = ["real", "virtual"] as const;
export const KINDS = ["H_PUT_TCE", "H_PUT_TCE_INDIRECT", "H_STUFF_TCE", "H_GET_TCE"] as const;
export const OUTCOMES = ["success", "parameter", "tooHard", "other"] as const;
/** Why a call is left to the next stage. */
export const REASONS = [
  "noTable",
  "misaligned",
  "outsideMemory",
  "notRegistered",
  "noUserView",
  "unreadableList",
  "hardware",
  "guestMmu",
  "missingLevel",
] as const;

export type Stage = (typeof STAGES)[number];
export type HypercallKind = (typeof KINDS)[number];
export type Outcome = (typeof OUTCOMES)[number];
export type Reason = (typeof REASONS)[number];

export const REAL = 0;
export const VIRTUAL = 1;
export const PUT = 0;
export const INDIRECT = 1;
export const STUFF = 2;
export const GET = 3;
export const REASON: { readonly [R in Reason]: number } = Object.fromEntries(
  REASONS.map((name, index) => [name, index]),
) as { [R in Reason]: number };

const CALLS = 0;
const ENTRIES = STAGES.length * KINDS.length * OUTCOMES.length;
const GIVEN_UP = ENTRIES + STAGES.length * KINDS.length;

/**
 * Where code outside of JavaScript counts: the first counter of each part. A call's is
 * CALLS + (stage * kinds + kind) * outcomes + outcome, its entries' is ENTRIES + stage * kinds + kind, a reason's is
 * GIVEN_UP + reason; the numbers are places in STAGES, KINDS, OUTCOMES and REASONS.
 */
export const counterLayout: { readonly CALLS: number; readonly ENTRIES: number; readonly GIVEN_UP: number } = {
  CALLS,
  ENTRIES,
  GIVEN_UP,
};

export interface KindCounters extends Record<Outcome, number> {
  /** Entries written. */
  entries: number;
}

export interface TceCounters {
  readonly stages: Record<Stage, Record<HypercallKind, KindCounters>>;
  readonly reasons: Record<Reason, number>;
}

export class Counters {
  readonly #arena: TceArena;
  readonly #at: number;

  constructor(arena: TceArena, record: number) {
    this.#arena = arena;
    this.#at = record + VM.COUNTERS;
  }

  /** A call ended with `result`, having written `entries`. Returns the result. */
  count(stage: number, kind: number, result: number, entries: number): number {
    const outcome = result === H_SUCCESS ? 0 : result === H_PARAMETER ? 1 : result === H_TOO_HARD ? 2 : 3;
    const which = stage * KINDS.length + kind;
    this.#add(CALLS + which * OUTCOMES.length + outcome, 1);
    if (entries > 0) this.#add(ENTRIES + which, entries);
    return result;
  }

  /** H_TOO_HARD, with its reason. */
  tooHard(reason: number): number {
    this.#add(GIVEN_UP + reason, 1);
    return H_TOO_HARD;
  }

  snapshot(): TceCounters {
    const kinds = (stage: number): Record<HypercallKind, KindCounters> =>
      record(KINDS, (kind) => {
        const which = stage * KINDS.length + kind;
        const outcomes = record(OUTCOMES, (outcome) => this.#read(CALLS + which * OUTCOMES.length + outcome));
        return { ...outcomes, entries: this.#read(ENTRIES + which) };
      });
    return { stages: record(STAGES, kinds), reasons: record(REASONS, (reason) => this.#read(GIVEN_UP + reason)) };
  }

  #add(counter: number, count: number): void {
    const { words } = this.#arena;
    const at = this.#at + counter * 2;
    const sum = (words[at] as number) + count;
    words[at] = sum;
    if (sum >= 0x1_0000_0000) words[at + 1] = (words[at + 1] as number) + Math.floor(sum / 0x1_0000_0000);
  }

  #read(counter: number): number {
    return readNumber(this.#arena.words, this.#at + counter * 2);
  }
}

function record<K extends string, V>(names: readonly K[], of: (index: number) => V): Record<K, V> {
  return Object.fromEntries(names.map((name, index) => [name, of(index)])) as Record<K, V>;
}
