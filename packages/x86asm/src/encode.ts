// One instruction with its operands to bytes: prefixes, opcode, ModRM, displacement, constants; what depends on a
// label is left as zeroes with a note (Fixup). Source: Intel SDM volume 2, chapter 2 "Instruction Format".

import { type Address, encodeAddress } from "./address.ts";
import { X86AsmError } from "./error.ts";
import type { Bits, Form } from "./form.ts";
import { match } from "./match.ts";
import { type Memory, type Operand, show } from "./operands.ts";
import type { Register, Width } from "./registers.ts";

/** Bytes to be filled in when the addresses of labels are known. */
export interface Fixup {
  /** Offset in the instruction. */
  readonly at: number;
  readonly width: Width;
  readonly target: string | number;
  readonly addend: bigint;
  /** Distance from the instruction's end, an address, or an address that the CPU extends as signed. */
  readonly kind: "relative" | "address" | "signed";
}

export interface Instruction {
  readonly bytes: readonly number[];
  readonly fixups: readonly Fixup[];
}

const OPERAND_SIZE = 0x66;
const ADDRESS_SIZE = 0x67;
const REX = 0x40;
const REX_W = 8;
const REX_R = 4;
const REX_B = 1;
const MOD3 = 0xc0;
/** Operands that a field behind the opcode is made of. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  ib: ["imm8", "imms8"],
  iw: ["imm16"],
  id: ["imm32"],
  io: ["imm64"],
  i: ["imm"],
  rel8: ["rel8"],
  rel: ["rel"],
  moffs: ["moffs"],
};
const WIDTHS: Readonly<Record<string, Width>> = { ib: 1, iw: 2, id: 4, io: 8 };

/** @throws X86AsmError ASM_OPERANDS when no form takes the operands; ASM_ADDRESS, ASM_RANGE */
export function encode(name: string, forms: readonly Form[], operands: readonly Operand[], bits: Bits): Instruction {
  for (const form of forms) {
    const width = match(form, operands, bits);
    if (width !== null) return new Encoding(form, operands, bits, width).instruction();
  }
  throw new X86AsmError(`${name} does not take (${operands.map(show).join(", ")}) in ${bits}-bit mode`, {
    code: "ASM_OPERANDS",
    details: { mnemonic: name, operands: operands.map(show), bits },
    hint: `It has ${forms.map((form) => `(${form.patterns.join(", ")})`).join(" ")}; memory may need byte(), word(), ...`,
  });
}

class Encoding {
  readonly #form: Form;
  readonly #operands: readonly Operand[];
  readonly #bits: Bits;
  readonly #width: Width;
  readonly #bytes: number[] = [];
  readonly #fixups: Fixup[] = [];

  constructor(form: Form, operands: readonly Operand[], bits: Bits, width: Width) {
    this.#form = form;
    this.#operands = operands;
    this.#bits = bits;
    this.#width = width;
  }

  instruction(): Instruction {
    const { opcode, plus, rmAt, registerAt, fields } = this.#form;
    const rm = this.#operands[rmAt] as Register | Memory | undefined;
    const register = this.#operands[registerAt] as Register | undefined;
    const address = rm?.kind === "memory" ? encodeAddress(rm, this.#bits) : null;
    const code = register?.code ?? 0;
    if (address?.resized) this.#bytes.push(ADDRESS_SIZE);
    if (this.#wide() && this.#width === (this.#bits === 16 ? 4 : 2)) this.#bytes.push(OPERAND_SIZE);
    const rmCode = rm?.kind === "memory" ? 0 : (rm?.code ?? 0);
    if (this.#bits === 64) {
      this.#rex((address?.rex ?? 0) | (code > 7 ? (plus ? REX_B : REX_R) : 0) | (rmCode > 7 ? REX_B : 0));
    }
    this.#bytes.push(...opcode.slice(0, -1), (opcode.at(-1) as number) + (plus ? code & 7 : 0));
    const middle = (register ? code & 7 : this.#form.digit) << 3;
    if (address) this.#address(address, middle);
    else if (rm) this.#bytes.push(MOD3 | middle | (rmCode & 7));
    for (const field of fields) this.#field(field);
    return { bytes: this.#bytes, fixups: this.#fixups };
  }

  #rex(registers: number): void {
    const wide = this.#width === 8 && !this.#form.default64 && this.#wide();
    const rex = registers | (wide ? REX_W : 0);
    const named = this.#operands.filter((o): o is Register => typeof o === "object" && o.kind !== "memory");
    if (rex === 0 && !named.some((r) => r.rex === "needed")) return;
    const barred = named.find((r) => r.rex === "impossible");
    if (barred) {
      throw new X86AsmError(`${barred.name} cannot be named beside a register that is new in 64-bit mode`, {
        code: "ASM_OPERANDS",
        details: { register: barred.name },
        hint: "Use al, bl, cl or dl.",
      });
    }
    this.#bytes.push(REX | rex);
  }

  /** Whether the operation's width is told by prefixes: some operand has it, or the form says so itself. */
  #wide(): boolean {
    return this.#form.size !== null || this.#form.patterns.some((pattern) => /^(r|rm|re|a|ae|r64)$/.test(pattern));
  }

  #address({ modrm, sib, size, label, displacement, ripRelative }: Address, middle: number): void {
    this.#bytes.push(modrm | middle);
    if (sib >= 0) this.#bytes.push(sib);
    if (size === 0) return;
    if (label === null) this.#number(displacement, size);
    else this.#fixup(label, size, ripRelative ? "relative" : "address", displacement);
  }

  #field(field: string): void {
    const operand = this.#operands[this.#form.patterns.findIndex((pattern) => FIELDS[field]?.includes(pattern))];
    if (field === "moffs") this.#memoryOffset(operand as Memory);
    else if (field === "rel8") this.#fixup(operand as string | number, 1, "relative");
    else if (field === "rel") this.#fixup(operand as string | number, this.#bits === 16 ? 2 : 4, "relative");
    else this.#constant(operand as string | number | bigint, WIDTHS[field] ?? (this.#width === 8 ? 4 : this.#width));
  }

  #memoryOffset({ label, displacement }: Memory): void {
    const size = this.#bits === 16 ? 2 : 8;
    if (label === null) this.#number(displacement, size);
    else this.#fixup(label, size, "address", displacement);
  }

  #constant(value: string | number | bigint, width: Width): void {
    if (typeof value === "string") this.#fixup(value, width, this.#width > width ? "signed" : "address");
    else this.#number(BigInt(value), width);
  }

  #number(value: bigint, width: Width): void {
    for (let n = 0; n < width; n++) this.#bytes.push(Number((value >> BigInt(8 * n)) & 0xffn));
  }

  #fixup(target: string | number, width: Width, kind: Fixup["kind"], addend = 0n): void {
    this.#fixups.push({ at: this.#bytes.length, width, target, addend, kind });
    this.#number(0n, width);
  }
}
