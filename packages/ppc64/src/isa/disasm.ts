// Disassembler for one instruction word, for diagnostics and listings: base mnemonics only (no "mr" or "beq"), spelled
// as GNU objdump spells them with -M raw, which is what its recorded answers are compared with.

import { type EncodingRow, extractField, type Field, findEncoding } from "./encodings.ts";
import { mnemonicOf } from "./mnemonics.ts";

const CR_BITS = ["lt", "gt", "eq", "so"] as const;

function crBit(value: number): string {
  const bit = CR_BITS[value & 3]!;
  return value < 4 ? bit : `4*cr${value >> 2}+${bit}`;
}

function operand(f: Field, value: number, word: number, row: EncodingRow, address: bigint): string {
  switch (f.kind) {
    case "gpr":
      return f.zero && value === 0 ? "0" : `r${value}`;
    case "fpr":
      return `f${value}`;
    case "vr":
      return `v${value}`;
    case "vsr":
      return `vs${value}`;
    case "cr":
      return `cr${value}`;
    case "crbit":
      return crBit(value);
    case "target": {
      const absolute = row.aa && (word & 2) !== 0;
      return `0x${BigInt.asUintN(64, absolute ? BigInt(value) : address + BigInt(value)).toString(16)}`;
    }
    default:
      return f.name === "NB" && value === 0 ? "32" : String(value); // NB = 0 moves 32 bytes
  }
}

/**
 * Text of one instruction word; `address` is where it lies (for branch targets).
 * Words that are no instruction, or have a reserved bit set, come back as ".long 0x...".
 */
export function disassemble(word: number, address: bigint | number = 0n): string {
  const row = findEncoding(word);
  if (row === undefined || (word & row.reserved) !== 0) return `.long 0x${(word >>> 0).toString(16)}`;
  if (row.form === "CLASS") return `${row.name} 0x${(word >>> 0).toString(16)}`;
  const at = BigInt(address);
  let text = "";
  for (const f of row.fields) {
    const shown = operand(f, extractField(word, f), word, row, at);
    if (text === "") text = shown;
    else if (f.zero || f.name === "RA") text += isDisplacement(row, f) ? `(${shown})` : `,${shown}`;
    else text += `,${shown}`;
  }
  const name = mnemonicOf(word, row);
  return text === "" ? name : `${name} ${text}`;
}

/** True when the register follows a displacement: printed as d(ra). */
function isDisplacement(row: EncodingRow, f: Field): boolean {
  const index = row.fields.indexOf(f);
  return index > 0 && row.fields[index - 1]!.kind === "disp";
}
