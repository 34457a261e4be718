// The encoding table: every fixed-point, branch and system instruction of a POWER9 in LPAR mode, and recognition rows for
// the facilities that are not executed. Assembler, disassembler and CPU engine all read this one table.
// Source: Power ISA 3.0B. Invariant (tested): no word matches two rows of the same specificity.

import { ARITHMETIC, COMPARE, LOGICAL, SHIFT } from "./encodings-arithmetic.ts";
import { BRANCHES, CONDITION, TRAPS } from "./encodings-branch.ts";
import { FACILITIES } from "./encodings-facility.ts";
import { ATOMICS, CACHE, LOADS, STORES } from "./encodings-memory.ts";
import { CONTROL, REGISTERS, TRANSLATION } from "./encodings-system.ts";
import { extractField } from "./fields.ts";
import { AA_BIT, type EncodingRow, LK_BIT, OE_BIT, RC_BIT } from "./row.ts";

export type { Field, FieldKind, FieldToken } from "./fields.ts";
export { extractField, FIELDS, fieldMask, fieldRange, fieldWidth, insertField } from "./fields.ts";
export type { EncodingRow, Form, RowFlag, Unit } from "./row.ts";
export { AA_BIT, LK_BIT, OE_BIT, RC_BIT } from "./row.ts";

/** Rows with operands: what the assembler offers, with names and operand lists kept in the type. */
export const INTEGER_ROWS = [
  ...ARITHMETIC,
  ...COMPARE,
  ...LOGICAL,
  ...SHIFT,
  ...LOADS,
  ...STORES,
  ...ATOMICS,
  ...CACHE,
  ...BRANCHES,
  ...CONDITION,
  ...TRAPS,
  ...REGISTERS,
  ...CONTROL,
  ...TRANSLATION,
] as const;

export type IntegerRow = (typeof INTEGER_ROWS)[number];
/** Base names of the integer rows, without suffix for rc/oe/lk/aa: "add", "andi.", "bclr", ... */
export type RowName = IntegerRow["name"];

export const ENCODINGS: readonly EncodingRow[] = [...INTEGER_ROWS, ...FACILITIES];

const byName = new Map<string, EncodingRow>(ENCODINGS.map((r) => [r.name, r]));

/** The row of a base name; undefined when there is none. */
export function encodingByName(name: string): EncodingRow | undefined {
  return byName.get(name);
}

interface Bucket {
  readonly mask: number;
  readonly rows: Map<number, EncodingRow>;
}

function popcount(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Per primary opcode: one hash table for each distinct mask, most specific first. */
const buckets: readonly (readonly Bucket[])[] = Array.from({ length: 64 }, (_, opcode) => {
  const found: Bucket[] = [];
  for (const r of ENCODINGS) {
    if (r.match >>> 26 !== opcode) continue;
    let bucket = found.find((b) => b.mask === r.mask);
    if (bucket === undefined) {
      bucket = { mask: r.mask, rows: new Map() };
      found.push(bucket);
    }
    bucket.rows.set(r.match, r);
  }
  return found.sort((a, b) => popcount(b.mask) - popcount(a.mask));
});

/** The row that a word is an instance of; undefined = illegal instruction. Reserved bits are not looked at. */
export function findEncoding(word: number): EncodingRow | undefined {
  for (const bucket of buckets[word >>> 26]!) {
    const hit = bucket.rows.get((word & bucket.mask) >>> 0);
    if (hit !== undefined) return hit;
  }
  return undefined;
}

/** Operand values by field name (RA0 appears as RA), and the option bits as 0 or 1 (0 where the row has no such bit). */
export interface DecodedFields {
  readonly rc: number;
  readonly oe: number;
  readonly lk: number;
  readonly aa: number;
  readonly [field: string]: number;
}

/** Takes a word apart by its row. Signed fields are sign-extended; displacements and branch offsets are in bytes. */
export function decodeFields(word: number, row: EncodingRow): DecodedFields {
  const out: Record<string, number> & { rc: number; oe: number; lk: number; aa: number } = {
    rc: row.rc && word & RC_BIT ? 1 : 0,
    oe: row.oe && word & OE_BIT ? 1 : 0,
    lk: row.lk && word & LK_BIT ? 1 : 0,
    aa: row.aa && word & AA_BIT ? 1 : 0,
  };
  for (const f of row.fields) out[f.name] = extractField(word, f);
  return out;
}
