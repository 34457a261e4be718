// Operands to instruction words: range checks with typed errors. Pure functions; labels are the assembler's business.

import { Ppc64Error } from "../error.ts";
import { type Field, fieldRange, insertField } from "../isa/encodings.ts";
import type { Mnemonic } from "../isa/mnemonics.ts";

const REGISTER_KINDS: readonly string[] = ["gpr", "fpr", "vr", "vsr"];

/** Puts one operand into the word. @throws Ppc64Error ASM_RANGE when the value does not fit the field. */
export function encodeOperand(word: number, f: Field, value: number, where: string): number {
  const { min, max } = fieldRange(f);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new Ppc64Error(`${where}: operand ${f.name} = ${value} is outside ${min}..${max}`, {
      code: "ASM_RANGE",
      details: { field: f.name, value, min, max },
      hint: REGISTER_KINDS.includes(f.kind)
        ? "registers are numbered 0 to 31"
        : "load larger values into a register first (li64)",
    });
  }
  if (value % 2 ** f.scale !== 0) {
    throw new Ppc64Error(`${where}: operand ${f.name} = ${value} is not a multiple of ${2 ** f.scale}`, {
      code: "ASM_ALIGN",
      details: { field: f.name, value, unit: 2 ** f.scale },
    });
  }
  return insertField(word, f, value);
}

/** Encodes a base mnemonic with numeric operands. @throws Ppc64Error ASM_OPERANDS, ASM_RANGE, ASM_ALIGN */
export function encodeInstruction(m: Mnemonic, operands: readonly number[]): number {
  const { row } = m;
  if (operands.length < row.required || operands.length > row.fields.length) {
    throw new Ppc64Error(`${m.name} takes ${row.operands || "no operands"}, ${operands.length} operands given`, {
      code: "ASM_OPERANDS",
      details: { mnemonic: m.name, operands: row.operands, given: operands.length },
    });
  }
  let word = (row.match | m.bits) >>> 0;
  for (let i = 0; i < operands.length; i++) word = encodeOperand(word, row.fields[i]!, operands[i]!, m.name);
  return word;
}
