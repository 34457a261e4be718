// Branches. The decoder sorts BO into the few cases that occur and gives each its own code; targets in the same 4 KiB page
// need no lookup at all. Slots: a = byte of the CR field, b = mask of the bit, c = BO; immediate = displacement.
// Power ISA 3.0B Book I 2.4.

import type { I32, I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, seq, when } from "../../wasm/ops.ts";
import { SPR_CTR, SPR_LR, SPR_TAR } from "../bits.ts";
import { CR, RECORD_BYTES, sprOffset } from "../layout.ts";
import type { Machine } from "../machine.ts";
import type { Handler, InstructionTable, RecordFields } from "../table.ts";

const LR = sprOffset(SPR_LR);
const CTR = sprOffset(SPR_CTR);
const TAR = sprOffset(SPR_TAR);

const BO_NO_CONDITION = 16;
const BO_CONDITION_TRUE = 8;
const BO_NO_COUNT = 4;
const BO_COUNT_ZERO = 2;

type Kind = "always" | "true" | "false" | "dnz" | "dz" | "general";
const KINDS: readonly Kind[] = ["always", "true", "false", "dnz", "dz", "general"];

function kindOf(bo: number): Kind {
  switch (bo & (BO_NO_CONDITION | BO_NO_COUNT)) {
    case BO_NO_CONDITION | BO_NO_COUNT:
      return "always";
    case BO_NO_COUNT:
      return bo & BO_CONDITION_TRUE ? "true" : "false";
    case BO_NO_CONDITION:
      return bo & BO_COUNT_ZERO ? "dz" : "dnz";
    default:
      return "general";
  }
}

/** Counts when the kind says so, then runs `taken` when the branch is taken. */
function conditional(m: Machine, kind: Kind, taken: Stmt): Stmt {
  const bit = (): I32 => i32.and(m.stateByteAt(m.operand("a")), m.operand("b"));
  const count = m.setState64(CTR, i64.sub(m.state64(CTR), i64.const(1)));
  switch (kind) {
    case "always":
      return taken;
    case "true":
      return when(bit(), taken);
    case "false":
      return when(i32.eqz(bit()), taken);
    case "dnz":
      return seq(count, when(i64.ne(m.state64(CTR), i64.const(0)), taken));
    case "dz":
      return seq(count, when(i64.eqz(m.state64(CTR)), taken));
    default: {
      const bo = m.operand("c");
      const option = (flag: number): I32 => i32.ne(i32.and(bo, i32.const(flag)), i32.const(0));
      const counts = i32.eqz(option(BO_NO_COUNT));
      const countOk = i32.or(option(BO_NO_COUNT), i32.eq(i64.eqz(m.state64(CTR)), option(BO_COUNT_ZERO)));
      const conditionOk = i32.or(
        option(BO_NO_CONDITION),
        i32.eq(i32.ne(bit(), i32.const(0)), option(BO_CONDITION_TRUE)),
      );
      return seq(when(counts, count), when(i32.and(countOk, conditionOk), taken));
    }
  }
}

/** LK sets LR whether the branch is taken or not. */
const link = (m: Machine, lk: boolean): Stmt => (lk ? m.setState64(LR, i64.add(m.pc, i64.const(4))) : seq());

function conditionOperands(word: number, r: RecordFields): number {
  const bo = (word >>> 21) & 31;
  const bi = (word >>> 16) & 31;
  r.a = CR + (bi >>> 2);
  r.b = 8 >>> (bi & 3);
  r.c = bo;
  return bo;
}

interface Ways {
  readonly near: Handler;
  readonly far: Handler;
  readonly absolute: Handler;
}

function displacementBranches(table: InstructionTable): void {
  const byKind = new Map<string, Ways>();
  for (const lk of [false, true]) {
    const absolute = table.handler(`bc.absolute${lk ? "l" : ""}`, "branch", (m) =>
      seq(link(m, lk), conditional(m, "general", m.jump(m.imm))),
    );
    for (const kind of KINDS) {
      const name = `bc.${kind}${lk ? "l" : ""}`;
      byKind.set(`${kind}${lk}`, {
        near: table.handler(`${name}.near`, "branch", (m) => seq(link(m, lk), conditional(m, kind, m.jumpInPage))),
        far: table.handler(`${name}.far`, "branch", (m) =>
          seq(link(m, lk), conditional(m, kind, m.jump(i64.add(m.pc, m.imm)))),
        ),
        absolute,
      });
    }
  }
  const place = (r: RecordFields, kind: Kind, word: number, displacement: number, offset: number): Handler => {
    const ways = byKind.get(`${kind}${(word & 1) !== 0}`)!;
    const near = (word & 2) === 0 && offset + displacement >= 0 && offset + displacement < 4096;
    r.immLo = near ? displacement * (RECORD_BYTES / 4) : displacement;
    r.immHi = displacement < 0 ? -1 : 0;
    return (word & 2) !== 0 ? ways.absolute : near ? ways.near : ways.far;
  };
  for (const suffix of ["", "l", "a", "la"]) {
    table.choice(`b${suffix}`, (word, r, offset) => {
      r.c = BO_NO_CONDITION | BO_NO_COUNT;
      r.a = CR;
      return place(r, "always", word, ((word << 6) >> 6) & ~3, offset);
    });
    table.choice(`bc${suffix}`, (word, r, offset) => {
      const bo = conditionOperands(word, r);
      return place(r, kindOf(bo), word, ((word << 16) >> 16) & ~3, offset);
    });
  }
}

function registerBranches(table: InstructionTable): void {
  for (const [name, register] of [
    ["bclr", LR],
    ["bcctr", CTR],
    ["bctar", TAR],
  ] as const) {
    for (const lk of [false, true]) {
      const handlers = new Map<Kind, Handler>();
      for (const kind of ["always", "true", "false", "general"] as const) {
        const target = (m: Machine): I64 => i64.and(m.state64(register), i64.const(-4));
        handlers.set(
          kind,
          table.handler(`${name}${lk ? "l" : ""}.${kind}`, "branch", (m) =>
            seq(m.w[0].set(target(m)), link(m, lk), conditional(m, kind, m.jump(m.w[0].get))),
          ),
        );
      }
      table.choice(`${name}${lk ? "l" : ""}`, (word, r) => {
        const kind = kindOf(conditionOperands(word, r));
        return handlers.get(kind) ?? handlers.get("general")!;
      });
    }
  }
}

export function branches(table: InstructionTable): void {
  displacementBranches(table);
  registerBranches(table);
}
