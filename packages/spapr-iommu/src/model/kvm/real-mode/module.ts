// The WebAssembly module of one VM's real mode: hypercalls on TCEs, answered where the guest's CPU runs.
// Its memory is the TCE arena, so what the model changes there is seen at once, and the other way round.
//   answer(r3..r7) -> (answered, r3, r4)    a hypercall; not answered: nothing to be put into registers
// Invariant: calls that are switched off, unknown, or too hard for this stage are not answered.

import { H_GET_TCE, H_PARAMETER, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import {
  call,
  type I32,
  i32,
  i64,
  left32,
  left64,
  local32,
  local64,
  ModuleBuilder,
  param64,
  ret,
  type Stmt,
  seq,
  when,
} from "@minivmm/ppc64/wasm";
import { VM } from "../../arena/index.ts";
import { GET, INDIRECT, OUTCOMES, PUT, STUFF } from "../counters.ts";
import { CallBuilder } from "./calls.ts";
import { Context } from "./context.ts";
import { addEntries } from "./entries.ts";
import { addLookups } from "./lookup.ts";
import type { RealModePlace, RealModeRules } from "./rules.ts";
import { addGuestView } from "./view.ts";

/** Hypercalls by their place in KINDS. */
export const NUMBERS: readonly number[] = [H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_GET_TCE];

export interface RealModeExports {
  readonly answer: (...r3ToR7: bigint[]) => [answered: number, r3: bigint, r4: bigint];
}

/** Imports `memory`, `ramAt`, `load64` and `warn` of `env` (see Imports). */
export function realModeModule(rules: RealModeRules, place: RealModePlace): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("env", "memory", place.shared);
  const imports = {
    ramAt: module.importFunction("env", "ramAt", ["i64", "i32"], ["i32"]),
    load64: module.importFunction("env", "load64", ["i32"], ["i64"]),
    warn: module.importFunction("env", "warn", ["i32"], []),
  };
  const c = new Context(module, imports, rules, place);
  const find = addLookups(c);
  const calls = new CallBuilder(c, find, addEntries(c, find), addGuestView(c)).build();
  module.addFunction(
    ["i64", "i64", "i64", "i64", "i64"],
    ["i32", "i64", "i64"],
    (f) => {
      const [r3, r4, r5, r6, r7] = [param64(0), param64(1), param64(2), param64(3), param64(4)];
      const [code, value] = [local32(f), local64(f)];
      const three = [r4.get, r5.get, r6.get];
      const answer = (kind: number, ask: Stmt): Stmt =>
        when(
          i64.eq(r3.get, i64.const(NUMBERS[kind] as number)),
          when(
            i32.and(c.at.word(c.vm, VM.ENABLED), i32.const(1 << kind)),
            seq(rules.punts ? code.set(c.tooHard("guestMmu")) : ask, finish(kind)),
          ),
        );
      const finish = (kind: number): Stmt =>
        seq(
          countOutcome(c, kind, code.get),
          when(
            i32.ne(code.get, i32.const(H_TOO_HARD)),
            seq(c.countAnswered(kind), ret(seq(i32.const(1), i64.extendS(code.get), value.get))),
          ),
        );
      const got = seq(
        call(calls.get, r4.get, r5.get),
        value.set(left64),
        code.set(left32),
        when(code.get, value.set(r4.get)),
      );
      return seq(
        value.set(r4.get),
        answer(PUT, code.set(call(calls.put, ...three) as I32)),
        answer(STUFF, code.set(call(calls.stuff, ...three, r7.get) as I32)),
        answer(INDIRECT, code.set(call(calls.indirect, ...three, r7.get) as I32)),
        answer(GET, got),
        i32.const(0),
        r3.get,
        r4.get,
      );
    },
    "answer",
  );
  return module.bytes();
}

function countOutcome(c: Context, kind: number, code: I32): Stmt {
  const count = (outcome: (typeof OUTCOMES)[number]): Stmt =>
    c.countCall(kind, OUTCOMES.indexOf(outcome), OUTCOMES.length);
  const is = (value: number): I32 => i32.eq(code, i32.const(value));
  return when(
    is(H_SUCCESS),
    count("success"),
    when(is(H_PARAMETER), count("parameter"), when(is(H_TOO_HARD), count("tooHard"), count("other"))),
  );
}
