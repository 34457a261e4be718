// Pieces that many instructions share: recording a result in CR0, carry and overflow bits of XER.

import type { I32, I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, type Local, seq } from "../../wasm/ops.ts";
import { CR, XER_CA, XER_CA32, XER_OV, XER_OV32, XER_SO } from "../layout.ts";
import type { Machine } from "../machine.ts";

/** LT 8, GT 4 or EQ 2: two shifted by 0, 1 or 2, with SO below. */
export const comparison = (m: Machine, less: I32, greater: I32): I32 =>
  i32.or(i32.shl(i32.const(2), i32.add(greater, i32.shl(less, i32.const(1)))), m.state8(XER_SO));

/** What the Rc bit asks for: CR0 = result compared with zero (signed, 64 bits). */
export const recordResult = (m: Machine, result: Local<I64>): Stmt =>
  m.setState8(CR, comparison(m, i64.ltS(result.get, i64.const(0)), i64.gtS(result.get, i64.const(0))));

/** Writes a result to slot a, and to CR0 for a record form. */
export const finish = (m: Machine, value: I64, rc: boolean): Stmt =>
  rc ? seq(m.w[0].set(value), m.setGpr("a", m.w[0].get), recordResult(m, m.w[0])) : m.setGpr("a", value);

export const setCarry = (m: Machine, carry: I32, carry32: I32): Stmt =>
  seq(m.setState8(XER_CA, carry), m.setState8(XER_CA32, carry32));

/** OV and OV32 from two i32 conditions; SO is sticky. `scratch` holds OV in between. */
export const setOverflow = (m: Machine, overflow: I32, overflow32: I32, scratch: Local<I32>): Stmt =>
  seq(
    m.setState8(XER_OV32, overflow32),
    m.setState8(XER_OV, scratch.tee(overflow)),
    m.setState8(XER_SO, i32.or(m.state8(XER_SO), scratch.get)),
  );

/** Bit n (from the least significant) as 0 or 1. */
export const bitOf = (value: I64, n: number): I32 => i32.and(i32.wrap(i64.shrU(value, i64.const(n))), i32.const(1));

export const zeroExtend32 = (value: I64): I64 => i64.extendU(i32.wrap(value));
