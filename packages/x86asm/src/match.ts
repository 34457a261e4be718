// Which form of an instruction takes the operands that are given, and how wide its operation then is.
// Invariants: all operands of the patterns r, rm, a, re have one width; memory without a width gets it from a register.

import type { Bits, Form } from "./form.ts";
import type { Memory, Operand } from "./operands.ts";
import { holds, holdsSigned } from "./ranges.ts";
import type { Register, Width } from "./registers.ts";

/** Register operands that tell how wide memory beside them is. */
const SIZING: Readonly<Record<string, readonly string[]>> = {
  rm8: ["r8", "al"],
  rm16: ["sreg"],
  rm: ["r", "re", "a", "ae"],
};

/** Width of the operation (the mode's default where nothing says), or null when the form does not take the operands. */
export function match(form: Form, operands: readonly Operand[], bits: Bits): Width | null {
  if (form.patterns.length !== operands.length || (form.only !== null && form.only !== bits)) return null;
  let width: Width | null = form.size;
  for (const [i, operand] of operands.entries()) {
    const found = operandWidth(form, form.patterns[i] as string, operand, bits);
    if (found === null) return null;
    if (found === 0) continue;
    if (width !== null && width !== found) return null;
    width = found;
  }
  width ??= bits === 16 ? 2 : form.default64 ? 8 : 4;
  if (bits === 16 ? width === 8 : form.default64 && width === 4) return null;
  return operands.every((operand, i) => fits(form.patterns[i] as string, operand, width)) ? width : null;
}

/** The width that an operand gives to the operation, 0 for none; null when the pattern is not for it. */
function operandWidth(form: Form, pattern: string, operand: Operand, bits: Bits): Width | 0 | null {
  if (typeof operand !== "object") return constantKind(pattern, operand) ? 0 : null;
  if (operand.kind === "memory") return memoryWidth(form, pattern, operand);
  if (bits === 16 && (operand.code > 7 || operand.rex === "needed")) return null;
  return registerWidth(pattern, operand, bits);
}

function constantKind(pattern: string, operand: number | bigint | string): boolean {
  if (pattern === "rel" || pattern === "rel8") return typeof operand !== "bigint";
  if (typeof operand === "string") return ["imm", "imm16", "imm32", "imm64"].includes(pattern);
  return pattern.startsWith("imm") || (pattern === "1" && Number(operand) === 1);
}

function memoryWidth(form: Form, pattern: string, { width, base, index }: Memory): Width | 0 | null {
  if (pattern === "m") return 0;
  if (pattern === "moffs") {
    const other = form.patterns.includes("al") ? 1 : null;
    return base || index || (width !== null && other !== null && width !== other) ? null : other ? 0 : (width ?? 0);
  }
  if (!pattern.startsWith("rm")) return null;
  if (width === null) return SIZING[pattern]?.some((sizing) => form.patterns.includes(sizing)) ? 0 : null;
  if (pattern === "rm") return width === 1 ? null : width;
  return pattern === `rm${8 * width}` ? 0 : null;
}

function registerWidth(pattern: string, { kind, name, code, width }: Register, bits: Bits): Width | 0 | null {
  if (kind === "segment") return pattern === "sreg" ? 0 : null;
  if (kind === "control") return pattern === "cr" ? 0 : null;
  switch (pattern) {
    case "r":
    case "rm":
      return width === 1 ? null : width;
    case "re":
      return width === 2 || width === 4 ? width : null;
    case "r64":
      return width === 8 ? 8 : null;
    case "a":
      return code === 0 && width !== 1 ? width : null;
    case "ae":
      return code === 0 && (width === 2 || width === 4) ? width : null;
    case "rn":
      return width === (bits === 16 ? 4 : 8) ? 0 : null;
    case "r8":
    case "rm8":
    case "rm16":
    case "rm32":
      return pattern.endsWith(`${8 * width}`) ? 0 : null;
    default:
      return pattern === name ? 0 : null;
  }
}

/** Whether a constant goes into the bytes that its pattern has, given how wide the operation is. */
function fits(pattern: string, operand: Operand, width: Width): boolean {
  if (typeof operand !== "number" && typeof operand !== "bigint") return true;
  if (!pattern.startsWith("imm")) return true;
  const value = BigInt(operand);
  switch (pattern) {
    case "imms8":
      return holds(value, width) && holdsSigned(BigInt.asIntN(8 * width, value), 1);
    case "imm":
      return width === 8 ? holdsSigned(value, 4) : holds(value, width);
    default:
      return holds(value, (Number(pattern.slice(3)) / 8) as Width);
  }
}
