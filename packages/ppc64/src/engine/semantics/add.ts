// Addition, subtraction and negation: everything that is x + y + carry. Power ISA 3.0B Book I 3.3.9.
// subtraction is ~RA + RB + 1, so one pair of formulas gives CA/CA32 and OV/OV32 of all of them.

import type { I64, Stmt } from "../../wasm/body.ts";
import { i64, seq } from "../../wasm/ops.ts";
import { XER_CA, XER_OV, XER_OV32 } from "../layout.ts";
import { rtDx, rtRa0Si, rtRa0Sis, rtRaRb, rtRaSi } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import type { InstructionTable, Layout } from "../table.ts";
import { bitOf, recordResult, setCarry, setOverflow } from "./common.ts";

interface Wanted {
  readonly ca?: boolean;
  readonly oe?: boolean;
  readonly rc?: boolean;
}

/** slot a = x + y + carryIn, with what else is wanted. */
function addition(m: Machine, x: I64, y: I64, carryIn: I64 | null, { ca, oe, rc }: Wanted): Stmt {
  const [a, b, sum] = m.w;
  const total = (p: I64, q: I64): I64 => (carryIn === null ? i64.add(p, q) : i64.add(i64.add(p, q), carryIn));
  if (!ca && !oe && !rc) return m.setGpr("a", total(x, y));
  // Carry out of bit 63, and the bits in which overflow shows (sign of both operands differs from the sum's).
  const carries = i64.or(i64.and(a.get, b.get), i64.and(i64.or(a.get, b.get), i64.not(sum.get)));
  const into = i64.xor(i64.xor(a.get, b.get), sum.get);
  const signs = i64.and(i64.xor(a.get, sum.get), i64.xor(b.get, sum.get));
  return seq(
    a.set(x),
    b.set(y),
    sum.set(total(a.get, b.get)),
    m.setGpr("a", sum.get),
    ...(ca ? [setCarry(m, bitOf(carries, 63), bitOf(into, 32))] : []),
    ...(oe ? [setOverflow(m, bitOf(signs, 63), bitOf(signs, 31), m.n[0])] : []),
    ...(rc ? [recordResult(m, sum)] : []),
  );
}

/** Registers the four forms of an XO instruction; the OE forms are rare. */
function forms(
  table: InstructionTable,
  name: string,
  ca: boolean,
  code: (m: Machine) => [x: I64, y: I64, carryIn: I64 | null],
  plain?: (m: Machine) => I64,
): void {
  for (const [suffix, oe, rc] of [
    ["", false, false],
    [".", false, true],
    ["o", true, false],
    ["o.", true, true],
  ] as const) {
    table.instruction(`${name}${suffix}`, oe ? "cold" : "hot", rtRaRb, (m) =>
      plain !== undefined && !oe && !rc ? m.setGpr("a", plain(m)) : addition(m, ...code(m), { ca, oe, rc }),
    );
  }
}

export function additions(table: InstructionTable): void {
  const immediate = (name: string, layout: Layout, wanted: Wanted): void => {
    table.instruction(name, "hot", layout, (m) => addition(m, m.gpr("b"), m.imm, null, wanted));
  };
  immediate("addi", rtRa0Si, {});
  immediate("addis", rtRa0Sis, {});
  immediate("addic", rtRaSi, { ca: true });
  immediate("addic.", rtRaSi, { ca: true, rc: true });
  table.instruction("addpcis", "cold", rtDx, (m) => m.setGpr("a", i64.add(i64.add(m.pc, i64.const(4)), m.imm)));
  table.instruction("subfic", "hot", rtRaSi, (m) =>
    addition(m, i64.not(m.gpr("b")), m.imm, i64.const(1), { ca: true }),
  );

  const carry = (m: Machine): I64 => i64.extendU(m.state8(XER_CA));
  forms(table, "add", false, (m) => [m.gpr("b"), m.gpr("c"), null]);
  forms(table, "addc", true, (m) => [m.gpr("b"), m.gpr("c"), null]);
  forms(table, "adde", true, (m) => [m.gpr("b"), m.gpr("c"), carry(m)]);
  forms(table, "addme", true, (m) => [m.gpr("b"), i64.const(-1), carry(m)]);
  forms(table, "addze", true, (m) => [m.gpr("b"), i64.const(0), carry(m)]);
  forms(
    table,
    "subf",
    false,
    (m) => [i64.not(m.gpr("b")), m.gpr("c"), i64.const(1)],
    (m) => i64.sub(m.gpr("c"), m.gpr("b")),
  );
  forms(table, "subfc", true, (m) => [i64.not(m.gpr("b")), m.gpr("c"), i64.const(1)]);
  forms(table, "subfe", true, (m) => [i64.not(m.gpr("b")), m.gpr("c"), carry(m)]);
  forms(table, "subfme", true, (m) => [i64.not(m.gpr("b")), i64.const(-1), carry(m)]);
  forms(table, "subfze", true, (m) => [i64.not(m.gpr("b")), i64.const(0), carry(m)]);
  forms(
    table,
    "neg",
    false,
    (m) => [i64.not(m.gpr("b")), i64.const(0), i64.const(1)],
    (m) => i64.sub(i64.const(0), m.gpr("b")),
  );

  // addex with CY = 0: OV is the carry, so that two chains can run side by side. SO is not touched.
  table.instruction("addex", "cold", rtRaRb, (m) => {
    const [a, b, sum] = m.w;
    return seq(
      a.set(m.gpr("b")),
      b.set(m.gpr("c")),
      sum.set(i64.add(i64.add(a.get, b.get), i64.extendU(m.state8(XER_OV)))),
      m.setGpr("a", sum.get),
      m.setState8(XER_OV, bitOf(i64.or(i64.and(a.get, b.get), i64.and(i64.or(a.get, b.get), i64.not(sum.get))), 63)),
      m.setState8(XER_OV32, bitOf(i64.xor(i64.xor(a.get, b.get), sum.get), 32)),
    );
  });
}
