// What an instruction is given: registers, memory, numbers and labels (strings).

import type { Register, Width } from "./registers.ts";

export interface Memory {
  readonly kind: "memory";
  readonly base: Register | null;
  readonly index: Register | null;
  readonly scale: 1 | 2 | 4 | 8;
  readonly displacement: bigint;
  /** Its address is added to the displacement; in 64-bit mode relative to the instruction pointer. */
  readonly label: string | null;
  /** Bytes of the access; null: as many as the other operand has. */
  readonly width: Width | null;
}

/** A string is a label: the target of a branch, or its address as a number. */
export type Operand = Register | Memory | number | bigint | string;
/** Where memory is: a base register, an absolute address, or a label. */
export type Place = Register | number | bigint | string;

/** Memory at `place` + displacement + index * scale. Its width is that of the other operand, a register. */
export function mem(place: Place, displacement = 0, index: Register | null = null, scale: Memory["scale"] = 1): Memory {
  return make(null, place, displacement, index, scale);
}

/** The same with a width of its own, where no register tells it: `a.mov(byte(bx), 5)`, `a.inc(dword(rdi, 8))`. */
export function byte(
  place: Place,
  displacement = 0,
  index: Register | null = null,
  scale: Memory["scale"] = 1,
): Memory {
  return make(1, place, displacement, index, scale);
}

export function word(
  place: Place,
  displacement = 0,
  index: Register | null = null,
  scale: Memory["scale"] = 1,
): Memory {
  return make(2, place, displacement, index, scale);
}

export function dword(
  place: Place,
  displacement = 0,
  index: Register | null = null,
  scale: Memory["scale"] = 1,
): Memory {
  return make(4, place, displacement, index, scale);
}

export function qword(
  place: Place,
  displacement = 0,
  index: Register | null = null,
  scale: Memory["scale"] = 1,
): Memory {
  return make(8, place, displacement, index, scale);
}

function make(
  width: Width | null,
  place: Place,
  displacement: number,
  index: Register | null,
  scale: Memory["scale"],
): Memory {
  const absolute = typeof place === "number" || typeof place === "bigint" ? BigInt(place) : 0n;
  return {
    kind: "memory",
    base: typeof place === "object" ? place : null,
    index,
    scale,
    displacement: absolute + BigInt(displacement),
    label: typeof place === "string" ? place : null,
    width,
  };
}

/** As people write it: "rax", "[rbx+8]", "0x10". */
export function show(operand: Operand): string {
  if (typeof operand === "string") return operand;
  if (typeof operand !== "object") return operand < 0 ? `-0x${(-operand).toString(16)}` : `0x${operand.toString(16)}`;
  if (operand.kind !== "memory") return operand.name;
  const { base, index, scale, displacement, label, width } = operand;
  const parts = [base?.name, label, index && `${index.name}*${scale}`, displacement !== 0n && show(displacement)];
  const size = width === null ? "" : `${{ 1: "byte", 2: "word", 4: "dword", 8: "qword" }[width]} `;
  return `${size}[${parts.filter(Boolean).join("+") || "0"}]`;
}
