// Operand fields of POWER instructions: where their bits lie in the 32-bit word, how they extend and scale.
// Source: Power ISA 3.0B, Book I section 1.6 (instruction fields); PowerPC bit 0 is the most significant, the shifts
// below count from the least significant bit.
// Invariant: insertField(word, f, extractField(word, f)) === word for every field and word.

/** What an operand names; decides how the assembler checks and the disassembler prints it. */
export type FieldKind = "gpr" | "fpr" | "vr" | "vsr" | "cr" | "crbit" | "imm" | "disp" | "target" | "spr" | "flag";

export interface Field {
  /** Name in the manual ("RT", "SI", "BD", ...); the key under which decodeFields() returns it. */
  readonly name: string;
  readonly kind: FieldKind;
  /** Pieces of the field, most significant first: [shift from bit 31 of the manual, width]. */
  readonly parts: readonly (readonly [shift: number, width: number])[];
  readonly signed: boolean;
  /** log2 of the unit: the word holds value >> scale. */
  readonly scale: number;
  /** True for (RA|0): register number 0 stands for the constant zero. */
  readonly zero: boolean;
}

function field(
  name: string,
  kind: FieldKind,
  parts: Field["parts"],
  more: { signed?: boolean; scale?: number; zero?: boolean } = {},
): Field {
  return { name, kind, parts, signed: more.signed ?? false, scale: more.scale ?? 0, zero: more.zero ?? false };
}

/** Every operand token that an encoding row may name. `RA0` is the field RA read as (RA|0). */
export const FIELDS = {
  RT: field("RT", "gpr", [[21, 5]]),
  RS: field("RS", "gpr", [[21, 5]]),
  RA: field("RA", "gpr", [[16, 5]]),
  RA0: field("RA", "gpr", [[16, 5]], { zero: true }),
  RB: field("RB", "gpr", [[11, 5]]),
  RC: field("RC", "gpr", [[6, 5]]),
  FRT: field("FRT", "fpr", [[21, 5]]),
  VRT: field("VRT", "vr", [[21, 5]]),
  SI: field("SI", "imm", [[0, 16]], { signed: true }),
  UI: field("UI", "imm", [[0, 16]]),
  D: field("D", "disp", [[0, 16]], { signed: true }),
  DS: field("DS", "disp", [[2, 14]], { signed: true, scale: 2 }),
  DQ: field("DQ", "disp", [[4, 12]], { signed: true, scale: 4 }),
  DX: field(
    "DX",
    "imm",
    [
      [6, 10],
      [16, 5],
      [0, 1],
    ],
    { signed: true },
  ),
  LI: field("LI", "target", [[2, 24]], { signed: true, scale: 2 }),
  BD: field("BD", "target", [[2, 14]], { signed: true, scale: 2 }),
  BO: field("BO", "imm", [[21, 5]]),
  BI: field("BI", "crbit", [[16, 5]]),
  BH: field("BH", "imm", [[11, 2]]),
  BF: field("BF", "cr", [[23, 3]]),
  BFA: field("BFA", "cr", [[18, 3]]),
  BT: field("BT", "crbit", [[21, 5]]),
  BA: field("BA", "crbit", [[16, 5]]),
  BB: field("BB", "crbit", [[11, 5]]),
  BC: field("BC", "crbit", [[6, 5]]),
  /** Operand size of a compare: 0 word, 1 doubleword. */
  L: field("L", "flag", [[21, 1]]),
  /** L of mtmsr/mtmsrd: 1 changes EE and RI only. */
  L15: field("L", "flag", [[16, 1]]),
  /** Two-bit L of sync and dcbf, WC of wait. */
  L2: field("L", "flag", [[21, 2]]),
  /** Two-bit L of darn. */
  LR: field("L", "flag", [[16, 2]]),
  TO: field("TO", "imm", [[21, 5]]),
  SH: field("SH", "imm", [[11, 5]]),
  SH6: field("SH", "imm", [
    [1, 1],
    [11, 5],
  ]),
  MB: field("MB", "imm", [[6, 5]]),
  ME: field("ME", "imm", [[1, 5]]),
  MB6: field("MB", "imm", [
    [5, 1],
    [6, 5],
  ]),
  ME6: field("ME", "imm", [
    [5, 1],
    [6, 5],
  ]),
  SPR: field("SPR", "spr", [
    [11, 5],
    [16, 5],
  ]),
  FXM: field("FXM", "imm", [[12, 8]]),
  CY: field("CY", "imm", [[9, 2]]),
  NB: field("NB", "imm", [[11, 5]]),
  FC: field("FC", "imm", [[11, 5]]),
  TH: field("TH", "imm", [[21, 5]]),
  CT: field("CT", "imm", [[21, 4]]),
  EH: field("EH", "flag", [[0, 1]]),
  LEV: field("LEV", "imm", [[5, 7]]),
  S: field("S", "flag", [[11, 1]]),
  RIC: field("RIC", "imm", [[18, 2]]),
  PRS: field("PRS", "flag", [[17, 1]]),
  R: field("R", "flag", [[16, 1]]),
  IH: field("IH", "imm", [[21, 3]]),
} as const satisfies Record<string, Field>;

export type FieldToken = keyof typeof FIELDS;

export function fieldWidth(f: Field): number {
  let width = 0;
  for (const [, bits] of f.parts) width += bits;
  return width;
}

/** Bits of the word that the field occupies, as u32. */
export function fieldMask(f: Field): number {
  let mask = 0;
  for (const [shift, width] of f.parts) mask |= ((1 << width) - 1) << shift;
  return mask >>> 0;
}

/** Value of a field, extended and scaled (a branch displacement comes back in bytes). */
export function extractField(word: number, f: Field): number {
  let value = 0;
  let width = 0;
  for (const [shift, bits] of f.parts) {
    value = (value << bits) | ((word >>> shift) & ((1 << bits) - 1));
    width += bits;
  }
  if (f.signed) value = (value << (32 - width)) >> (32 - width);
  return value << f.scale;
}

/** Smallest and largest value that the field can hold. */
export function fieldRange(f: Field): { min: number; max: number } {
  const width = fieldWidth(f);
  const unit = 2 ** f.scale;
  return f.signed
    ? { min: -(2 ** (width - 1)) * unit, max: (2 ** (width - 1) - 1) * unit }
    : { min: 0, max: (2 ** width - 1) * unit };
}

/** Puts a value (already known to be in range) into the word; other bits stay. */
export function insertField(word: number, f: Field, value: number): number {
  let rest = value >> f.scale;
  let out = word;
  for (let i = f.parts.length - 1; i >= 0; i--) {
    const [shift, bits] = f.parts[i]!;
    const mask = (1 << bits) - 1;
    out = (out & ~(mask << shift)) | ((rest & mask) << shift);
    rest >>= bits;
  }
  return out >>> 0;
}
