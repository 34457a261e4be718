// One row of the encoding table, and the builder that the tables are written with.
// `match`/`mask` hold opcode and extended opcode only: reserved bits are ignored by the processor, so they take no
// part in recognition; `reserved` names them for the disassembler, which is stricter.
// Source of forms: Power ISA 3.0B, Book I section 1.6.

import { FIELDS, type Field, type FieldToken, fieldMask } from "./fields.ts";

/** Instruction forms that matter for where the extended opcode lies. */
export type Form =
  | "I"
  | "B"
  | "SC"
  | "D"
  | "DS"
  | "DQ"
  | "DX"
  | "X"
  | "XL"
  | "XFX"
  | "XO"
  | "XS"
  | "A"
  | "Z23"
  | "M"
  | "MD"
  | "MDS"
  | "VA"
  | "CLASS";

/** Which facility executes the instruction: decides which "unavailable" interrupt is raised when MSR has it off. */
export type Unit = "fx" | "fp" | "vmx" | "vsx";

/** Optional behaviour bits: rc = Rc (record), oe = OE, lk = LK, aa = AA. `priv`: privileged; `be`: alignment interrupt in LE mode. */
export type RowFlag = "rc" | "oe" | "lk" | "aa" | "priv" | "be";

export interface EncodingRow<
  Name extends string = string,
  Operands extends string = string,
  Flags extends string = string,
> {
  readonly name: Name;
  readonly form: Form;
  readonly unit: Unit;
  /** u32; (word & mask) === match recognises the instruction, whatever rc/oe/lk/aa say. */
  readonly match: number;
  readonly mask: number;
  /** u32; bits that no field and no flag uses. Zero in a well-formed word. */
  readonly reserved: number;
  /** Operand tokens in assembler order, "?" marks one that may be left out. */
  readonly operands: Operands;
  readonly fields: readonly Field[];
  /** How many leading operands must be given. */
  readonly required: number;
  readonly flags: Flags;
  readonly rc: boolean;
  readonly oe: boolean;
  readonly lk: boolean;
  readonly aa: boolean;
  readonly priv: boolean;
  /** Big-endian mode only: a little-endian processor takes an alignment interrupt. */
  readonly beOnly: boolean;
}

/** Shift and width of the extended opcode by form. */
const XO_PLACE: Record<Form, readonly [shift: number, width: number]> = {
  I: [0, 0],
  B: [0, 0],
  SC: [0, 2],
  D: [0, 0],
  DS: [0, 2],
  DQ: [0, 3],
  DX: [1, 5],
  X: [1, 10],
  XL: [1, 10],
  XFX: [1, 10],
  XO: [1, 9],
  XS: [2, 9],
  A: [1, 5],
  Z23: [1, 8],
  M: [0, 0],
  MD: [2, 3],
  MDS: [1, 4],
  VA: [0, 6],
  CLASS: [0, 0],
};

export const RC_BIT = 0x1;
export const LK_BIT = 0x1;
export const AA_BIT = 0x2;
export const OE_BIT = 0x400;

export interface RowExtra {
  /** Further bits that are part of recognition. */
  readonly mask?: number;
  readonly match?: number;
  readonly unit?: Unit;
}

/**
 * Builds a row: `operands` is a comma list of FIELDS tokens in assembler order, `flags` a blank-separated list of
 * RowFlag. The types keep both texts, so that the assembler's methods can be typed from the table.
 */
export function row<const Name extends string, const Operands extends string, const Flags extends string = "">(
  name: Name,
  form: Form,
  opcode: number,
  xo: number,
  operands: Operands,
  flags: Flags = "" as Flags,
  extra: RowExtra = {},
): EncodingRow<Name, Operands, Flags> {
  const [shift, width] = XO_PLACE[form];
  const mask = ((0x3f << 26) | (((1 << width) - 1) << shift) | (extra.mask ?? 0)) >>> 0;
  const match = ((opcode << 26) | (xo << shift) | (extra.match ?? 0)) >>> 0;
  const tokens = operands === "" ? [] : operands.split(",");
  const fields = tokens.map((t) => FIELDS[t.replace("?", "") as FieldToken]);
  const has = (flag: RowFlag): boolean => flags.split(" ").includes(flag);
  let used = mask;
  for (const f of fields) used |= fieldMask(f);
  if (has("rc")) used |= RC_BIT;
  if (has("lk")) used |= LK_BIT;
  if (has("aa")) used |= AA_BIT;
  if (has("oe")) used |= OE_BIT;
  const optional = tokens.findIndex((t) => t.endsWith("?"));
  return {
    name,
    form,
    unit: extra.unit ?? "fx",
    match,
    mask,
    reserved: form === "CLASS" ? 0 : ~used >>> 0,
    operands,
    fields,
    required: optional < 0 ? tokens.length : optional,
    flags,
    rc: has("rc"),
    oe: has("oe"),
    lk: has("lk"),
    aa: has("aa"),
    priv: has("priv"),
    beOnly: has("be"),
  };
}
