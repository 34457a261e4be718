// What is not compared with the recording, and why. Two things only:
// - reserved XER bits: the reference keeps what was written there, a processor need not;
// - divde whose quotient does not fit: RT and CR0 are undefined, and the reference misses the overflow (OV stays 0) when
//   |RA| < |RB| but the quotient exceeds 63 bits. There OV, OV32 and SO are taken from Power ISA 3.0B, Book I 3.3.9.

import { decodeFields, findEncoding } from "../../src/asm/index.ts";
import { XER_MASK } from "../../tools/instruction-program.ts";

/** Index in the state of r0, r3, r4, r5, r6. */
const STATE_OF_REGISTER: Record<number, number> = { 0: 0, 3: 1, 4: 2, 5: 3, 6: 4 };
const FLAGS = 7;
const ALL = (1n << 64n) - 1n;
const COMPARED_FLAGS = (BigInt(XER_MASK) << 32n) | 0xffffffffn;
const SO = 1n << 63n;
const OVERFLOW = SO | (1n << 62n) | (1n << 51n); // SO, OV, OV32
const CR0_RESULT = 0xe0000000n;

export interface Expectation {
  /** Which bits of each state doubleword count. */
  readonly masks: readonly bigint[];
  /** What the flags have instead of the recorded value. */
  readonly flags: bigint;
}

function fitsSigned64(value: bigint): boolean {
  return value === BigInt.asIntN(64, value);
}

/** True for divde and its forms when the division has an exact mathematical quotient outside of 64 signed bits. */
function extendedQuotientOverflows(word: number, input: readonly bigint[]): boolean {
  const row = findEncoding(word)!;
  if (row.name !== "divde") return false;
  const { RA, RB } = decodeFields(word, row);
  const dividend = BigInt.asIntN(64, input[STATE_OF_REGISTER[RA!]!]!) << 64n;
  const divisor = BigInt.asIntN(64, input[STATE_OF_REGISTER[RB!]!]!);
  return divisor !== 0n && !fitsSigned64(dividend / divisor);
}

/** How the recorded state of a case is to be compared; `recordedFlags` is its doubleword of XER and CR. */
export function expectation(words: readonly number[], input: readonly bigint[], recordedFlags: bigint): Expectation {
  const masks = Array.from({ length: 9 }, () => ALL);
  masks[FLAGS] = COMPARED_FLAGS;
  const word = words[0]!;
  if (!extendedQuotientOverflows(word, input)) return { masks, flags: recordedFlags };
  const fields = decodeFields(word, findEncoding(word)!);
  masks[STATE_OF_REGISTER[fields.RT!]!] = 0n;
  if (fields.rc === 0) return { masks, flags: fields.oe ? recordedFlags | OVERFLOW : recordedFlags };
  masks[FLAGS] = COMPARED_FLAGS & ~CR0_RESULT;
  const cr0Summary = 1n << 28n;
  return { masks, flags: fields.oe ? recordedFlags | OVERFLOW | cr0Summary : recordedFlags };
}
