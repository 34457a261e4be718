// The part of Machine that both interpreter functions share: operands out of the record at `ip`, and the CPU state.

import type { FunctionBody, I32, I64, Stmt } from "../wasm/body.ts";
import { call, i32, i64, type Local, local32, local64 } from "../wasm/ops.ts";
import type { Helpers } from "./helpers.ts";
import type { AccessBytes, Machine, Slot } from "./machine.ts";

/** Byte offset of each operand in a record; the immediate follows at 8. */
const SLOT_OFFSET: Record<Slot, number> = { a: 2, b: 4, c: 6 };
export const IMMEDIATE_OFFSET = 8;

type Common = Pick<
  Machine,
  | "w"
  | "n"
  | "gpr"
  | "setGpr"
  | "operand"
  | "imm"
  | "imm32"
  | "immByte"
  | "state8"
  | "setState8"
  | "state64"
  | "setState64"
  | "stateByteAt"
  | "setStateByteAt"
  | "stateAt"
  | "setStateAt"
  | "call"
>;

const zero = i32.const(0);

export function recordOperands(f: FunctionBody, ip: Local<I32>, helpers: Helpers): Common {
  const operand = (slot: Slot): I32 => i32.load16u(ip.get, SLOT_OFFSET[slot]);
  return {
    w: [local64(f), local64(f), local64(f), local64(f)],
    n: [local32(f), local32(f), local32(f)],
    operand,
    gpr: (slot) => i64.load(operand(slot)),
    setGpr: (slot, value) => i64.store(operand(slot), value),
    imm: i64.load(ip.get, IMMEDIATE_OFFSET),
    imm32: i32.load(ip.get, IMMEDIATE_OFFSET),
    immByte: (n) => i32.load8u(ip.get, IMMEDIATE_OFFSET + n),
    state8: (offset) => i32.load8u(zero, offset),
    setState8: (offset, value) => i32.store8(zero, value, offset),
    state64: (offset) => i64.load(zero, offset),
    setState64: (offset, value) => i64.store(zero, value, offset),
    stateByteAt: (offset) => i32.load8u(offset),
    setStateByteAt: (offset, value) => i32.store8(offset, value),
    stateAt: (offset) => i64.load(offset),
    setStateAt: (offset, value) => i64.store(offset, value),
    call: (helper, x, y) => call(helpers[helper], x, y) as I64,
  };
}

/** A load of 1, 2, 4 or 8 bytes, extended to 64 bits. */
export function loadBytes(bytes: AccessBytes, signed: boolean, at: I32, offset = 0): I64 {
  switch (bytes) {
    case 1:
      return signed ? i64.load8s(at, offset) : i64.load8u(at, offset);
    case 2:
      return signed ? i64.load16s(at, offset) : i64.load16u(at, offset);
    case 4:
      return signed ? i64.load32s(at, offset) : i64.load32u(at, offset);
    default:
      return i64.load(at, offset);
  }
}

export function storeBytes(bytes: AccessBytes, at: I32, value: I64): Stmt {
  switch (bytes) {
    case 1:
      return i64.store8(at, value);
    case 2:
      return i64.store16(at, value);
    case 4:
      return i64.store32(at, value);
    default:
      return i64.store(at, value);
  }
}
