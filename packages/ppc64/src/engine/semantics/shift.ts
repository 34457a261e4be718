// Shifts and rotates. Masks are computed by the decoder and arrive as the immediate. Power ISA 3.0B Book I 3.3.14.
// Wasm takes shift amounts modulo 64; the ISA looks at 6 or 7 bits of RB, so doubleword shifts test bit 6 themselves.

import type { I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, select64, seq } from "../../wasm/ops.ts";
import { XER_CA, XER_CA32 } from "../layout.ts";
import { maskImm, raRsRb, raRsSh, raRsSh6 } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import type { InstructionTable, Layout, RecordFields } from "../table.ts";
import { finish, recordResult, zeroExtend32 } from "./common.ts";

const rotate32 = (value: I64, by: I64): I64 => i64.extendU(i32.rotl(i32.wrap(value), i32.wrap(by)));
/** ROTL32 of the ISA: the rotated word in both halves. */
const rotateBoth = (value: I64, by: I64): I64 => {
  const both = i64.or(zeroExtend32(value), i64.shl(value, i64.const(32)));
  return i64.rotl(both, i64.and(by, i64.const(31)));
};
const masked = (m: Machine, value: I64): I64 => i64.and(value, m.imm);
/** Bits under the mask come from the value, the others stay. */
const insert = (m: Machine, value: I64): I64 => i64.or(i64.and(value, m.imm), i64.and(m.gpr("a"), i64.not(m.imm)));
const amount = (m: Machine): I64 => i64.extendU(m.operand("c"));

function both(table: InstructionTable, name: string, kind: "hot" | "cold", layout: Layout, code: (m: Machine) => I64) {
  for (const rc of [false, true]) {
    table.instruction(rc ? `${name}.` : name, kind, layout, (m) => finish(m, code(m), rc));
  }
}

function rotates(table: InstructionTable): void {
  const mb5 = (w: number): number => (w >>> 6) & 31;
  const me5 = (w: number): number => (w >>> 1) & 31;
  const mb6 = (w: number): number => ((w >>> 6) & 31) | (w & 32);
  const sh6 = (w: number): number => ((w >>> 11) & 31) | ((w & 2) << 4);
  const withMask =
    (base: Layout, mask: (w: number, r: RecordFields) => void): Layout =>
    (w, r, offset) => {
      base(w, r, offset);
      mask(w, r);
    };
  const mask32 = (w: number, r: RecordFields): void => maskImm(r, mb5(w) + 32, me5(w) + 32);

  for (const rc of ["", "."]) {
    // A mask that does not wrap clears the high word, so rotating the low word is enough.
    const narrow = table.handler(`rlwinm${rc}`, "hot", (m) =>
      finish(m, masked(m, rotate32(m.gpr("b"), amount(m))), rc === "."),
    );
    const wide = table.handler(`rlwinm.wrap${rc}`, "cold", (m) =>
      finish(m, masked(m, rotateBoth(m.gpr("b"), amount(m))), rc === "."),
    );
    table.choice(`rlwinm${rc}`, (w, r, offset) => {
      raRsSh(w, r, offset);
      mask32(w, r);
      return r.immHi === 0 ? narrow : wide;
    });
  }
  both(table, "rlwimi", "hot", withMask(raRsSh, mask32), (m) => insert(m, rotateBoth(m.gpr("b"), amount(m))));
  both(table, "rlwnm", "cold", withMask(raRsRb, mask32), (m) => masked(m, rotateBoth(m.gpr("b"), m.gpr("c"))));

  const rotated = (m: Machine): I64 => i64.rotl(m.gpr("b"), amount(m));
  const left = withMask(raRsSh6, (w, r) => maskImm(r, mb6(w), 63));
  const right = withMask(raRsSh6, (w, r) => maskImm(r, 0, mb6(w)));
  const middle = withMask(raRsSh6, (w, r) => maskImm(r, mb6(w), 63 - sh6(w)));
  both(table, "rldicl", "hot", left, (m) => masked(m, rotated(m)));
  both(table, "rldicr", "hot", right, (m) => masked(m, rotated(m)));
  both(table, "rldic", "hot", middle, (m) => masked(m, rotated(m)));
  both(table, "rldimi", "hot", middle, (m) => insert(m, rotated(m)));
  const byRegister = (m: Machine): I64 => masked(m, i64.rotl(m.gpr("b"), m.gpr("c")));
  both(
    table,
    "rldcl",
    "cold",
    withMask(raRsRb, (w, r) => maskImm(r, mb6(w), 63)),
    byRegister,
  );
  both(
    table,
    "rldcr",
    "cold",
    withMask(raRsRb, (w, r) => maskImm(r, 0, mb6(w))),
    byRegister,
  );
}

function logicalShifts(table: InstructionTable): void {
  const unless64 = (m: Machine, value: I64): I64 =>
    select64(i64.eqz(i64.and(m.gpr("c"), i64.const(64))), value, i64.const(0));
  both(table, "sld", "hot", raRsRb, (m) => unless64(m, i64.shl(m.gpr("b"), m.gpr("c"))));
  both(table, "srd", "hot", raRsRb, (m) => unless64(m, i64.shrU(m.gpr("b"), m.gpr("c"))));
  // Amounts 32..63 push a zero-extended word out of sight by themselves.
  both(table, "slw", "hot", raRsRb, (m) => zeroExtend32(i64.shl(zeroExtend32(m.gpr("b")), m.gpr("c"))));
  both(table, "srw", "hot", raRsRb, (m) => i64.shrU(zeroExtend32(m.gpr("b")), m.gpr("c")));
  both(table, "extswsli", "cold", raRsSh6, (m) => i64.shl(i64.extend32s(m.gpr("b")), amount(m)));
}

/** Arithmetic right shift of `value` by 0..63; CA when a negative value loses one bits. */
function arithmeticShift(m: Machine, value: I64, by: I64, rc: boolean): Stmt {
  const [result, x, n] = m.w;
  const lost = i64.ne(i64.shl(result.get, n.get), x.get);
  return seq(
    x.set(value),
    n.set(by),
    result.set(i64.shrS(x.get, n.get)),
    m.n[0].set(i32.and(i64.ltS(x.get, i64.const(0)), lost)),
    m.setState8(XER_CA, m.n[0].get),
    m.setState8(XER_CA32, m.n[0].get),
    m.setGpr("a", result.get),
    ...(rc ? [recordResult(m, result)] : []),
  );
}

function arithmeticShifts(table: InstructionTable): void {
  for (const rc of [false, true]) {
    const dot = rc ? "." : "";
    table.instruction(`srawi${dot}`, "hot", raRsSh, (m) =>
      arithmeticShift(m, i64.extend32s(m.gpr("b")), amount(m), rc),
    );
    table.instruction(`sradi${dot}`, "hot", raRsSh6, (m) => arithmeticShift(m, m.gpr("b"), amount(m), rc));
    table.instruction(`sraw${dot}`, "hot", raRsRb, (m) =>
      arithmeticShift(m, i64.extend32s(m.gpr("b")), i64.and(m.gpr("c"), i64.const(63)), rc),
    );
    // Amounts 64..127 shift everything out: all sign bits, and CA for any negative value.
    table.instruction(`srad${dot}`, "hot", raRsRb, (m) => {
      const [result, x, , far] = m.w;
      return seq(
        far.set(i64.and(i64.shrU(m.gpr("c"), i64.const(6)), i64.const(1))),
        arithmeticShift(
          m,
          m.gpr("b"),
          select64(i64.eqz(far.get), i64.and(m.gpr("c"), i64.const(63)), i64.const(63)),
          false,
        ),
        m.n[0].set(i32.or(m.n[0].get, i32.and(i32.wrap(far.get), i64.ltS(x.get, i64.const(0))))),
        m.setState8(XER_CA, m.n[0].get),
        m.setState8(XER_CA32, m.n[0].get),
        ...(rc ? [recordResult(m, result)] : []),
      );
    });
  }
}

export function shifts(table: InstructionTable): void {
  rotates(table);
  logicalShifts(table);
  arithmeticShifts(table);
}
