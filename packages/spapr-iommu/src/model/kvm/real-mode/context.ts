// What all functions of the real-mode module are written with: the module, the records, the rules, and how a call is given up.

import { H_TOO_HARD } from "@minivmm/kvm/model";
import { after, type I32, type I64, i32, i64, type ModuleBuilder, type Stmt } from "@minivmm/ppc64/wasm";
import { VM } from "../../arena/index.ts";
import { counterLayout, KINDS, REAL, REASON, type Reason } from "../counters.ts";
import { Records } from "./records.ts";
import type { RealModePlace, RealModeRules } from "./rules.ts";

export interface Imports {
  /** (real: i64, bytes: i32) -> i32, (address: i32) -> i64: guest RAM. */
  readonly ramAt: number;
  readonly load64: number;
  /** (entry: i32): tells the kernel's log. */
  readonly warn: number;
}

export class Context {
  readonly module: ModuleBuilder;
  readonly imports: Imports;
  readonly rules: RealModeRules;
  readonly at: Records;
  /** The VM record. */
  readonly vm: I32;
  readonly #answered: I32;

  constructor(module: ModuleBuilder, imports: Imports, rules: RealModeRules, place: RealModePlace) {
    this.module = module;
    this.imports = imports;
    this.rules = rules;
    this.at = new Records(place.base);
    this.vm = i32.const(place.record * 4);
    this.#answered = i32.const(place.answered * 4);
  }

  /** H_TOO_HARD, counted with its reason. */
  tooHard(reason: Reason): I32 {
    return after(this.#count(counterLayout.GIVEN_UP + REASON[reason]), i32.const(H_TOO_HARD));
  }

  /** A call of this kind ended so. */
  countCall(kind: number, outcome: number, outcomes: number): Stmt {
    return this.#count(counterLayout.CALLS + (REAL * KINDS.length + kind) * outcomes + outcome);
  }

  /** A call of this kind has written so many entries. */
  countEntries(kind: number, entries: I64): Stmt {
    return this.#count(counterLayout.ENTRIES + REAL * KINDS.length + kind, entries);
  }

  /** A call of this kind goes back to the guest. */
  countAnswered(kind: number): Stmt {
    return this.at.addWide(this.#answered, kind * 2, i64.const(1));
  }

  #count(counter: number, amount: I64 = i64.const(1)): Stmt {
    return this.at.addWide(this.vm, VM.COUNTERS + counter * 2, amount);
  }
}
