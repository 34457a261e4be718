// Compares, isel, setb and the condition register. A CR field is one byte; CR bits are reached through the byte of their
// field and a shift. Power ISA 3.0B Book I 2.5, 3.3.10, 3.3.12 and 3.3.17.

import type { I32, I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, select64, seq, when } from "../../wasm/ops.ts";
import { CR, XER_CA, XER_CA32, XER_OV, XER_OV32 } from "../layout.ts";
import { bfBfa, bfRaRb, bfRaSi, bfRaUi, btBaBb, rtBfa, rtFxm, rtOnly, rtRa0RbBc } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import type { InstructionTable, Layout } from "../table.ts";
import { comparison, zeroExtend32 } from "./common.ts";
import { equalBytes } from "./logical.ts";

function integerCompares(table: InstructionTable): void {
  const compare = (name: string, layout: Layout, signed: boolean, second: (m: Machine) => I64): void => {
    const [less, greater] = signed ? [i64.ltS, i64.gtS] : [i64.ltU, i64.gtU];
    const code = (extend: (value: I64) => I64) => (m: Machine) => {
      const [x, y] = m.w;
      const result = comparison(m, less(x.get, y.get), greater(x.get, y.get));
      return seq(x.set(extend(m.gpr("b"))), y.set(extend(second(m))), m.setStateByteAt(m.operand("a"), result));
    };
    const word = table.handler(`${name}.w`, "hot", code(signed ? i64.extend32s : zeroExtend32));
    const doubleword = table.handler(
      `${name}.d`,
      "hot",
      code((value) => value),
    );
    table.choice(name, (w, r, offset) => {
      layout(w, r, offset);
      return (w & (1 << 21)) === 0 ? word : doubleword;
    });
  };
  compare("cmp", bfRaRb, true, (m) => m.gpr("c"));
  compare("cmpl", bfRaRb, false, (m) => m.gpr("c"));
  compare("cmpi", bfRaSi, true, (m) => m.imm);
  compare("cmpli", bfRaUi, false, (m) => m.imm);
}

function byteCompares(table: InstructionTable): void {
  const byte = (value: I64, n: number): I64 => i64.and(i64.shrU(value, i64.const(8 * n)), i64.const(0xff));
  // GT is set when the byte lies in a range [low, high] of RB; with L = 1 there are two ranges.
  const inRange = (m: Machine, at: number): I32 => {
    const source = byte(m.gpr("b"), 0);
    return i32.and(i64.leU(byte(m.gpr("c"), at), source), i64.leU(source, byte(m.gpr("c"), at + 1)));
  };
  const gt = (m: Machine, found: I32): Stmt => m.setStateByteAt(m.operand("a"), i32.shl(found, i32.const(2)));
  const one = table.handler("cmprb.1", "cold", (m) => gt(m, inRange(m, 0)));
  const two = table.handler("cmprb.2", "cold", (m) => gt(m, i32.or(inRange(m, 0), inRange(m, 2))));
  table.choice("cmprb", (w, r, offset) => {
    bfRaRb(w, r, offset);
    return (w & (1 << 21)) === 0 ? one : two;
  });
  table.instruction("cmpeqb", "cold", bfRaRb, (m) => {
    const repeated = i64.mul(byte(m.gpr("b"), 0), i64.const(0x0101010101010101n));
    return gt(m, i64.ne(equalBytes(repeated, m.gpr("c")), i64.const(0)));
  });
}

function fromCondition(table: InstructionTable): void {
  table.instruction("isel", "hot", rtRa0RbBc, (m) => {
    const field = m.stateByteAt(i32.and(m.imm32, i32.const(0xffff)));
    return m.setGpr("a", select64(i32.and(field, m.immByte(2)), m.gpr("b"), m.gpr("c")));
  });
  table.instruction("setb", "cold", rtBfa, (m) => {
    const field = m.stateByteAt(m.operand("b"));
    const positive = i64.extendU(i32.and(i32.shrU(field, i32.const(2)), i32.const(1)));
    return m.setGpr("a", select64(i32.and(field, i32.const(8)), i64.const(-1), positive));
  });
}

function conditionLogic(table: InstructionTable): void {
  const logic = (name: string, code: (x: I32, y: I32) => I32): void => {
    table.instruction(name, "hot", btBaBb, (m) => {
      const bit = (slot: "b" | "c", n: number): I32 => i32.shrU(m.stateByteAt(m.operand(slot)), m.immByte(n));
      const field = m.stateByteAt(m.operand("a"));
      const kept = i32.and(field, i32.xor(i32.shl(i32.const(1), m.immByte(0)), i32.const(-1)));
      const result = i32.and(code(bit("b", 1), bit("c", 2)), i32.const(1));
      return m.setStateByteAt(m.operand("a"), i32.or(kept, i32.shl(result, m.immByte(0))));
    });
  };
  const not = (x: I32): I32 => i32.xor(x, i32.const(-1));
  logic("crand", i32.and);
  logic("crandc", (x, y) => i32.and(x, not(y)));
  logic("creqv", (x, y) => not(i32.xor(x, y)));
  logic("crnand", (x, y) => not(i32.and(x, y)));
  logic("crnor", (x, y) => not(i32.or(x, y)));
  logic("cror", i32.or);
  logic("crorc", (x, y) => i32.or(x, not(y)));
  logic("crxor", i32.xor);
  table.instruction("mcrf", "hot", bfBfa, (m) => m.setStateByteAt(m.operand("a"), m.stateByteAt(m.operand("b"))));
  // OV, OV32, CA, CA32 become LT, GT, EQ, SO.
  table.instruction("mcrxrx", "cold", bfBfa, (m) => {
    const at = (offset: number, shift: number): I32 => i32.shl(m.state8(offset), i32.const(shift));
    const bits = i32.or(i32.or(at(XER_OV, 3), at(XER_OV32, 2)), i32.or(at(XER_CA, 1), m.state8(XER_CA32)));
    return m.setStateByteAt(m.operand("a"), bits);
  });
}

function moves(table: InstructionTable): void {
  const shiftOf = (field: number): number => 28 - 4 * field;
  table.instruction("mfcr", "hot", rtOnly, (m) => {
    let word: I32 = i32.const(0);
    for (let field = 0; field < 8; field++) {
      word = i32.or(word, i32.shl(m.state8(CR + field), i32.const(shiftOf(field))));
    }
    return m.setGpr("a", i64.extendU(word));
  });
  // With one field selected only that field is defined; zeros elsewhere.
  const mfocrf: Layout = (w, r, offset) => {
    rtOnly(w, r, offset);
    const field = Math.clz32(((w >>> 12) & 0xff) | 0) - 24;
    r.b = CR + (field & 7);
    r.c = shiftOf(field & 7);
  };
  table.instruction("mfocrf", "hot", mfocrf, (m) =>
    m.setGpr("a", i64.extendU(i32.shl(m.stateByteAt(m.operand("b")), m.operand("c")))),
  );
  const nibble = (m: Machine, field: number): I32 =>
    i32.and(i32.shrU(i32.wrap(m.gpr("a")), i32.const(shiftOf(field))), i32.const(15));
  const all = table.handler("mtcrf.all", "hot", (m) =>
    seq(...Array.from({ length: 8 }, (_, field) => m.setState8(CR + field, nibble(m, field)))),
  );
  const some = table.handler("mtcrf.some", "cold", (m) =>
    seq(
      ...Array.from({ length: 8 }, (_, field) =>
        when(i32.and(m.imm32, i32.const(0x80 >> field)), m.setState8(CR + field, nibble(m, field))),
      ),
    ),
  );
  const single = table.handler("mtocrf.one", "hot", (m) =>
    m.setStateByteAt(m.operand("b"), i32.and(i32.shrU(i32.wrap(m.gpr("a")), m.operand("c")), i32.const(15))),
  );
  for (const name of ["mtcrf", "mtocrf"]) {
    table.choice(name, (w, r, offset) => {
      rtFxm(w, r, offset);
      const mask = r.immLo;
      if (mask === 0xff) return all;
      if (mask === 0 || (mask & (mask - 1)) !== 0) return some;
      mfocrf(w, r, offset);
      return single;
    });
  }
}

export function compares(table: InstructionTable): void {
  integerCompares(table);
  byteCompares(table);
  fromCondition(table);
  conditionLogic(table);
  moves(table);
}
