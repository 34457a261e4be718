// Logical instructions, sign extension, counting and permuting bits and bytes. Power ISA 3.0B Book I 3.3.13.

import type { I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, seq, when } from "../../wasm/ops.ts";
import { GATHER_PENDING } from "../layout.ts";
import { noOperands, raRsRb, raRsSh, raRsUi, raRsUis, rtRaRb } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import type { Handler, InstructionTable, Layout } from "../table.ts";
import { finish, zeroExtend32 } from "./common.ts";

const BYTE_ONES = 0x0101010101010101n;
const BYTE_SIGNS = 0x8080808080808080n;

/** 0x80 in every byte that is zero, exactly (no carry between bytes). */
const zeroBytes = (value: I64): I64 => {
  const low7 = i64.const(~BYTE_SIGNS);
  return i64.not(i64.or(i64.or(i64.add(i64.and(value, low7), low7), value), low7));
};

/** The marks of zeroBytes() spread over their bytes: 0xff or 0. */
export const spreadBytes = (marks: I64): I64 => i64.mul(i64.shrU(marks, i64.const(7)), i64.const(0xff));

export const equalBytes = (x: I64, y: I64): I64 => zeroBytes(i64.xor(x, y));

function binary(table: InstructionTable): void {
  const two = (name: string, code: (x: I64, y: I64) => I64): void => {
    for (const rc of [false, true]) {
      table.instruction(rc ? `${name}.` : name, "hot", raRsRb, (m) => finish(m, code(m.gpr("b"), m.gpr("c")), rc));
    }
  };
  two("and", i64.and);
  two("andc", (x, y) => i64.and(x, i64.not(y)));
  two("or", i64.or);
  two("orc", (x, y) => i64.or(x, i64.not(y)));
  two("xor", i64.xor);
  two("nand", (x, y) => i64.not(i64.and(x, y)));
  two("nor", (x, y) => i64.not(i64.or(x, y)));
  two("eqv", (x, y) => i64.not(i64.xor(x, y)));

  const immediate = (name: string, layout: Layout, code: (x: I64, y: I64) => I64, rc: boolean): void => {
    table.instruction(name, "hot", layout, (m) => finish(m, code(m.gpr("b"), m.imm), rc));
  };
  immediate("andi.", raRsUi, i64.and, true);
  immediate("andis.", raRsUis, i64.and, true);
  immediate("ori", raRsUi, i64.or, false);
  immediate("oris", raRsUis, i64.or, false);
  immediate("xori", raRsUi, i64.xor, false);
  immediate("xoris", raRsUis, i64.xor, false);

  // Register moves and no-ops are so frequent that they have code of their own.
  const move = table.handler("mr", "hot", (m) => m.setGpr("a", m.gpr("b")));
  const nop = table.handler("nop", "hot", () => seq());
  const or = table.decoders.get("or")!;
  table.choice("or", (word, record, offset) => {
    const [rs, ra, rb] = [(word >>> 21) & 31, (word >>> 16) & 31, (word >>> 11) & 31];
    if (rs !== rb) return or(word, record, offset);
    raRsRb(word, record, offset);
    return rs === ra ? nop : move;
  });
  const ori = table.decoders.get("ori")!;
  table.choice("ori", (word, record, offset) => {
    const unchanged = ((word >>> 21) & 31) === ((word >>> 16) & 31) && (word & 0xffff) === 0;
    return unchanged ? nop : ori(word, record, offset);
  });
  // One thread and no cache: barriers have nothing to order but stores that are being gathered.
  const barrier = table.handler("barrier", "hot", (m) => when(m.state8(GATHER_PENDING), m.escape));
  const without = (names: string, handler: Handler): void => {
    for (const name of names.split(" ")) {
      table.choice(name, (word, record, offset) => {
        noOperands(word, record, offset);
        return handler;
      });
    }
  };
  without("sync eieio", barrier);
  without("isync wait dcbt dcbtst dcbst dcbf icbt cpabort", nop);
}

function unary(table: InstructionTable): void {
  const one = (name: string, kind: "hot" | "cold", code: (x: I64) => I64, record = true): void => {
    for (const rc of record ? [false, true] : [false]) {
      table.instruction(rc ? `${name}.` : name, kind, raRsSh, (m) => finish(m, code(m.gpr("b")), rc));
    }
  };
  one("extsb", "hot", i64.extend8s);
  one("extsh", "hot", i64.extend16s);
  one("extsw", "hot", i64.extend32s);
  one("cntlzd", "hot", i64.clz);
  one("cntlzw", "hot", (x) => i64.extendU(i32.clz(i32.wrap(x))));
  one("cnttzd", "cold", i64.ctz);
  one("cnttzw", "cold", (x) => i64.extendU(i32.ctz(i32.wrap(x))));
  one("popcntd", "hot", i64.popcnt, false);
  const halves = (low: I64, high: I64): I64 => i64.or(low, i64.shl(high, i64.const(32)));
  const high = (x: I64): I64 => i64.shrU(x, i64.const(32));
  one("popcntw", "cold", (x) => halves(i64.popcnt(zeroExtend32(x)), i64.popcnt(high(x))), false);
  // Parity of the least significant bits of the bytes.
  const parity = (x: I64): I64 => i64.and(i64.popcnt(i64.and(x, i64.const(BYTE_ONES))), i64.const(1));
  one("prtyd", "cold", parity, false);
  one("prtyw", "cold", (x) => halves(parity(zeroExtend32(x)), parity(high(x))), false);
  table.instruction("popcntb", "cold", raRsSh, (m) => popcountBytes(m));
}

/** The usual tree of partial sums, stopped at bytes. */
function popcountBytes(m: Machine): Stmt {
  const [x] = m.w;
  const step = (mask: bigint, shift: number): Stmt => {
    const part = (value: I64): I64 => i64.and(value, i64.const(mask));
    return x.set(i64.add(part(x.get), part(i64.shrU(x.get, i64.const(shift)))));
  };
  return seq(
    x.set(m.gpr("b")),
    step(0x5555555555555555n, 1),
    step(0x3333333333333333n, 2),
    step(0x0f0f0f0f0f0f0f0fn, 4),
    m.setGpr("a", x.get),
  );
}

export function logical(table: InstructionTable): void {
  binary(table);
  unary(table);
  table.instruction("cmpb", "hot", raRsRb, (m) => m.setGpr("a", spreadBytes(equalBytes(m.gpr("b"), m.gpr("c")))));
  table.instruction("bpermd", "cold", raRsRb, (m) => m.setGpr("a", m.call("bpermd", m.gpr("b"), m.gpr("c"))));
  // No random number source: the architected answer is all ones, and software falls back.
  table.instruction("darn", "cold", rtRaRb, (m) => m.setGpr("a", i64.const(-1)));
  // 6 in every decimal digit that did not carry out: corrects a binary sum of BCD digits.
  table.instruction("addg6s", "cold", rtRaRb, (m) => {
    const [a, b, sum] = m.w;
    const carries = i64.or(i64.and(a.get, b.get), i64.and(i64.or(a.get, b.get), i64.not(sum.get)));
    const missing = i64.and(i64.not(i64.shrU(carries, i64.const(3))), i64.const(0x1111111111111111n));
    return seq(
      a.set(m.gpr("b")),
      b.set(m.gpr("c")),
      sum.set(i64.add(a.get, b.get)),
      m.setGpr("a", i64.mul(missing, i64.const(6))),
    );
  });
}
