// Multiplication, division, remainder and the fused multiply-add of ISA 3.0. Power ISA 3.0B Book I 3.3.9.
// Where the ISA leaves a result undefined (division by zero, quotient too wide) the value is the one that QEMU gives:
// the dividend for div*, zero for mod* and the extended divides. High halves of 32-bit results likewise.

import type { I32, I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, select32, select64, seq } from "../../wasm/ops.ts";
import { rtRaRb, rtRaRbRc, rtRaSi } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import type { InstructionTable } from "../table.ts";
import { bitOf, finish, recordResult, setOverflow, zeroExtend32 } from "./common.ts";

const MIN64 = -0x8000000000000000n;
const low32 = (value: I64): I32 => i32.wrap(value);

function multiplyHigh(m: Machine, x: I64, y: I64): I64 {
  // Signed from unsigned: a negative factor contributes 2^64 times the other one too much.
  const fix = (sign: I64, other: I64): I64 => i64.and(i64.shrS(sign, i64.const(63)), other);
  return i64.sub(i64.sub(m.call("mulhdu", x, y), fix(x, y)), fix(y, x));
}

/** Result in w[0], overflow in n[0], then the optional parts. */
const conclude = (m: Machine, code: Stmt, oe: boolean, rc: boolean): Stmt =>
  seq(
    code,
    m.setGpr("a", m.w[0].get),
    ...(oe ? [setOverflow(m, m.n[0].get, m.n[0].get, m.n[1])] : []),
    ...(rc ? [recordResult(m, m.w[0])] : []),
  );

const VARIANTS = [
  ["", false, false],
  [".", false, true],
  ["o", true, false],
  ["o.", true, true],
] as const;

function forms(table: InstructionTable, name: string, code: (m: Machine, oe: boolean) => Stmt): void {
  for (const [suffix, oe, rc] of VARIANTS) {
    table.instruction(`${name}${suffix}`, suffix === "" ? "hot" : "cold", rtRaRb, (m) =>
      conclude(m, code(m, oe), oe, rc),
    );
  }
}

function multiplications(table: InstructionTable): void {
  table.instruction("mulli", "hot", rtRaSi, (m) => m.setGpr("a", i64.mul(m.gpr("b"), m.imm)));
  forms(table, "mullw", (m, oe) => {
    const product = i64.mul(i64.extend32s(m.gpr("b")), i64.extend32s(m.gpr("c")));
    const overflow = i64.ne(m.w[0].get, i64.extend32s(m.w[0].get));
    return seq(m.w[0].set(product), ...(oe ? [m.n[0].set(overflow)] : []));
  });
  forms(table, "mulld", (m, oe) => {
    const [result, x, y] = m.w;
    if (!oe) return result.set(i64.mul(m.gpr("b"), m.gpr("c")));
    const high = multiplyHigh(m, x.get, y.get);
    return seq(
      x.set(m.gpr("b")),
      y.set(m.gpr("c")),
      result.set(i64.mul(x.get, y.get)),
      m.n[0].set(i64.ne(high, i64.shrS(result.get, i64.const(63)))),
    );
  });
  for (const rc of [false, true]) {
    const high = (name: string, code: (m: Machine) => I64): void => {
      table.instruction(rc ? `${name}.` : name, rc ? "cold" : "hot", rtRaRb, (m) => finish(m, code(m), rc));
    };
    const upper = (product: I64): I64 => i64.shrU(product, i64.const(32));
    high("mulhw", (m) => upper(i64.mul(i64.extend32s(m.gpr("b")), i64.extend32s(m.gpr("c")))));
    high("mulhwu", (m) => upper(i64.mul(zeroExtend32(m.gpr("b")), zeroExtend32(m.gpr("c")))));
    high("mulhdu", (m) => m.call("mulhdu", m.gpr("b"), m.gpr("c")));
    high("mulhd", (m) => multiplyHigh(m, m.gpr("b"), m.gpr("c")));
  }
  // 128-bit product plus a 64-bit addend: the addend carries into the high half.
  const addend = (m: Machine): I64 => m.stateAt(m.imm32);
  const carry = (m: Machine, product: I64): I64 => i64.extendU(i64.ltU(i64.add(product, addend(m)), addend(m)));
  const product = (m: Machine): I64 => i64.mul(m.gpr("b"), m.gpr("c"));
  table.instruction("maddld", "cold", rtRaRbRc, (m) => m.setGpr("a", i64.add(product(m), addend(m))));
  table.instruction("maddhdu", "cold", rtRaRbRc, (m) =>
    m.setGpr("a", i64.add(m.call("mulhdu", m.gpr("b"), m.gpr("c")), carry(m, product(m)))),
  );
  table.instruction("maddhd", "cold", rtRaRbRc, (m) => {
    const high = i64.add(multiplyHigh(m, m.gpr("b"), m.gpr("c")), i64.shrS(addend(m), i64.const(63)));
    return m.setGpr("a", i64.add(high, carry(m, product(m))));
  });
}

/** Divisions that fit a machine division: overflow replaces the divisor by one. */
function divisions(table: InstructionTable): void {
  const word = (signed: boolean, remainder: boolean) => (m: Machine) => {
    const [x, y, bad] = [m.n[1], m.n[2], m.n[0]];
    const overflow = i32.and(i32.eq(x.get, i32.const(-0x80000000)), i32.eq(y.get, i32.const(-1)));
    const divisor = select32(bad.get, i32.const(1), y.get);
    const code = remainder ? (signed ? i32.remS : i32.remU) : signed ? i32.divS : i32.divU;
    const extend = remainder && signed ? i64.extendS : i64.extendU;
    return seq(
      x.set(low32(m.gpr("b"))),
      y.set(low32(m.gpr("c"))),
      bad.set(signed ? i32.or(i32.eqz(y.get), overflow) : i32.eqz(y.get)),
      m.w[0].set(extend(code(x.get, divisor))),
    );
  };
  const doubleword = (signed: boolean, remainder: boolean) => (m: Machine) => {
    const [result, x, y] = m.w;
    const bad = m.n[0];
    const overflow = i32.and(i64.eq(x.get, i64.const(MIN64)), i64.eq(y.get, i64.const(-1)));
    const divisor = select64(bad.get, i64.const(1), y.get);
    const code = remainder ? (signed ? i64.remS : i64.remU) : signed ? i64.divS : i64.divU;
    return seq(
      x.set(m.gpr("b")),
      y.set(m.gpr("c")),
      bad.set(signed ? i32.or(i64.eqz(y.get), overflow) : i64.eqz(y.get)),
      result.set(code(x.get, divisor)),
    );
  };
  forms(table, "divw", word(true, false));
  forms(table, "divwu", word(false, false));
  forms(table, "divd", doubleword(true, false));
  forms(table, "divdu", doubleword(false, false));
  for (const [name, code] of [
    ["modsw", word(true, true)],
    ["moduw", word(false, true)],
    ["modsd", doubleword(true, true)],
    ["modud", doubleword(false, true)],
  ] as const) {
    table.instruction(name, "cold", rtRaRb, (m) => seq(code(m), m.setGpr("a", m.w[0].get)));
  }
}

/** The dividend is RA followed by 32 or 64 zero bits. */
function extendedDivisions(table: InstructionTable): void {
  forms(table, "divweu", (m) => {
    const [result, x, y] = m.w;
    const quotient = i64.divU(x.get, select64(i64.eqz(y.get), i64.const(1), y.get));
    return seq(
      x.set(i64.shl(m.gpr("b"), i64.const(32))),
      y.set(zeroExtend32(m.gpr("c"))),
      result.set(quotient),
      m.n[0].set(i32.or(i64.eqz(y.get), i64.gtU(result.get, i64.const(0xffffffff)))),
      result.set(select64(m.n[0].get, i64.const(0), result.get)),
    );
  });
  forms(table, "divwe", (m) => {
    const [result, x, y] = m.w;
    const impossible = i32.or(i64.eqz(y.get), i32.and(i64.eq(x.get, i64.const(MIN64)), i64.eq(y.get, i64.const(-1))));
    return seq(
      x.set(i64.shl(m.gpr("b"), i64.const(32))),
      y.set(i64.extend32s(m.gpr("c"))),
      m.n[0].set(impossible),
      result.set(i64.divS(x.get, select64(m.n[0].get, i64.const(1), y.get))),
      m.n[0].set(i32.or(m.n[0].get, i64.ne(result.get, i64.extend32s(result.get)))),
      result.set(select64(m.n[0].get, i64.const(0), result.get)),
    );
  });
  forms(table, "divdeu", (m) => {
    const [result, x, y] = m.w;
    return seq(
      x.set(m.gpr("b")),
      y.set(m.gpr("c")),
      m.n[0].set(i64.geU(x.get, y.get)),
      result.set(select64(m.n[0].get, i64.const(0), m.call("divdeu", x.get, y.get))),
    );
  });
  forms(table, "divde", (m) => {
    const [result, x, y, negative] = m.w;
    const magnitude = (v: I64): I64 => select64(i64.ltS(v, i64.const(0)), i64.sub(i64.const(0), v), v);
    const limit = i64.add(i64.const(0x7fffffffffffffffn), negative.get);
    return seq(
      x.set(m.gpr("b")),
      y.set(m.gpr("c")),
      negative.set(i64.extendU(bitOf(i64.xor(x.get, y.get), 63))),
      x.set(magnitude(x.get)),
      y.set(magnitude(y.get)),
      m.n[0].set(i64.geU(x.get, y.get)),
      result.set(m.call("divdeu", x.get, y.get)),
      m.n[0].set(i32.or(m.n[0].get, i64.gtU(result.get, limit))),
      result.set(select64(i64.eqz(negative.get), result.get, i64.sub(i64.const(0), result.get))),
      result.set(select64(m.n[0].get, i64.const(0), result.get)),
    );
  });
}

export function multiplyAndDivide(table: InstructionTable): void {
  multiplications(table);
  divisions(table);
  extendedDivisions(table);
}
