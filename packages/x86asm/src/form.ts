// The notation of the instruction table: "operands: flags opcode fields", after the manual's opcode column.
// Source: Intel SDM volume 2, section 3.1.1 "Instruction Format".
//
//   rm r: 89 /r          ModRM with a register and a register or memory, both 16, 32 or 64 bits wide
//   rm8 imm8: 80 /4 ib   a digit in ModRM's register field, and one byte of constant
//   re imm: B8 +r i      the register's number in the opcode; a constant as wide as the operands, 4 bytes at most
//
// Operands: r8 r16 r64 (that width), r rm (any of 16, 32, 64 bits), re (16 or 32), rn (the mode's own, as for control
// registers), a ae al dx cl 1 (just that one), m (memory of any width), moffs (memory by address alone), imms8
// (a constant that one sign-extended byte holds), imm imm8 imm16 imm32 imm64, rel rel8 (a branch target), sreg, cr.
// Flags: o16 o32 o64 (operand size, for those without operands), d64 (64 bits wide in 64-bit mode without saying so),
// only16, only64. Fields after the opcode: ib iw id io i moffs rel8 rel.

import type { Width } from "./registers.ts";

export type Bits = 16 | 64;

export interface Form {
  /** The row itself, for messages. */
  readonly text: string;
  readonly patterns: readonly string[];
  readonly opcode: readonly number[];
  /** Which operand the rm field of ModRM names, a register or memory; -1 where there is no ModRM. */
  readonly rmAt: number;
  /** Which operand is in ModRM's register field or in the opcode; -1 for none. */
  readonly registerAt: number;
  /** What ModRM's register field has instead. */
  readonly digit: number;
  /** The register's number is added to the opcode. */
  readonly plus: boolean;
  readonly size: Width | null;
  readonly default64: boolean;
  readonly only: Bits | null;
  /** Constants, addresses and distances behind it, in their order. */
  readonly fields: readonly string[];
}

const SIZES: Readonly<Record<string, Width>> = { o16: 2, o32: 4, o64: 8 };
const ONLY: Readonly<Record<string, Bits>> = { only16: 16, only64: 64 };

export function parseForm(text: string): Form {
  const colon = text.indexOf(":");
  const patterns = text.slice(0, Math.max(colon, 0)).split(" ").filter(Boolean);
  const tokens = text
    .slice(colon + 1)
    .split(" ")
    .filter(Boolean);
  const has = (token: string): boolean => tokens.includes(token);
  const slash = tokens.find((token) => token.startsWith("/"))?.slice(1);
  const rmAt = slash === undefined ? -1 : patterns.findIndex((pattern) => /^(rm|m$|rn)/.test(pattern));
  const inField = (pattern: string, at: number): boolean => at !== rmAt && /^(r8|r|re|r64|sreg|cr)$/.test(pattern);
  const size = tokens.map((token) => SIZES[token]).find(Boolean) ?? null;
  return {
    text,
    patterns,
    opcode: tokens.filter((token) => /^[0-9A-Fa-f]{2}$/.test(token)).map((token) => Number.parseInt(token, 16)),
    rmAt,
    registerAt: slash === "r" || has("+r") ? patterns.findIndex(inField) : -1,
    digit: slash === undefined || slash === "r" ? 0 : Number(slash),
    plus: has("+r"),
    size,
    default64: has("d64"),
    only: tokens.map((token) => ONLY[token]).find(Boolean) ?? (size === 8 ? 64 : null),
    fields: tokens.filter((token) => /^(ib|iw|id|io|i|moffs|rel8?)$/.test(token)),
  };
}
