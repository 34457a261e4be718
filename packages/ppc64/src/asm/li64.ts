// Instruction sequences for 64-bit constants: sign-extended halves first, then shift and or the lower word in.

import type { Expansion } from "./extended.ts";

function signed16(value: bigint): number {
  return Number(BigInt.asIntN(16, value));
}

function unsigned16(value: bigint): number {
  return Number(BigInt.asUintN(16, value));
}

/** Sequence for a value that is the sign extension of 32 bits. */
function load32(rt: number, value: bigint): Expansion[] {
  if (value === BigInt.asIntN(16, value)) return [["addi", rt, 0, Number(value)]];
  const out: Expansion[] = [["addis", rt, 0, signed16(value >> 16n)]];
  if (unsigned16(value) !== 0) out.push(["ori", rt, rt, unsigned16(value)]);
  return out;
}

/** Instructions that leave `value` (taken modulo 2^64) in `rt`; rt = 0 works as well. */
export function loadConstant(rt: number, value: bigint | number): Expansion[] {
  const v = BigInt.asIntN(64, BigInt(value));
  if (v === BigInt.asIntN(32, v)) return load32(rt, v);
  const out = load32(rt, v >> 32n);
  out.push(["rldicr", rt, rt, 32, 31]);
  if (unsigned16(v >> 16n) !== 0) out.push(["oris", rt, rt, unsigned16(v >> 16n)]);
  if (unsigned16(v) !== 0) out.push(["ori", rt, rt, unsigned16(v)]);
  return out;
}
