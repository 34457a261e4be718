// Mini assembler, driven by calls: one method per mnemonic (a.mov(eax, 5), a.jne("again")), labels that may be used
// before they are placed, data directives. One section from `origin` on; operands in Intel's order, destination first.
// Invariants: bytes() is complete: every label used is placed and every distance fits, or an X86AsmError says which does
// not. Branches are not shortened, so the length of an instruction never depends on where its target is.

import { encode, type Fixup } from "./encode.ts";
import { X86AsmError } from "./error.ts";
import { type Bits, type Form, parseForm } from "./form.ts";
import type { Operand } from "./operands.ts";
import { holds, holdsSigned } from "./ranges.ts";
import type { Width } from "./registers.ts";
import { ARITHMETIC } from "./table/arithmetic.ts";
import { MOVES } from "./table/moves.ts";
import { SYSTEM } from "./table/system.ts";

export interface AssemblerOptions {
  /** Address of the first byte; in 16-bit mode its offset in the segment. Default 0. */
  readonly origin?: number;
  /** Mode of the first instructions, see `bits`. Default 64. */
  readonly bits?: Bits;
}

const TABLE = { ...ARITHMETIC, ...MOVES, ...SYSTEM };
const FORMS: ReadonlyMap<string, readonly Form[]> = new Map(
  Object.entries(TABLE).map(([name, rows]) => [name, rows.map(parseForm)]),
);

export type Mnemonic = keyof typeof TABLE;
export const MNEMONICS = Object.keys(TABLE) as readonly Mnemonic[];

interface Patch extends Fixup {
  /** Offset in the section of the bytes to fill in, and of the end of their instruction. */
  readonly offset: number;
  readonly end: number;
  readonly where: string;
}

export class AssemblerCore {
  readonly origin: number;
  #bits: Bits;
  #store = new Uint8Array(512);
  #size = 0;
  readonly #labels = new Map<string, number>();
  #patches: Patch[] = [];

  constructor({ origin = 0, bits = 64 }: AssemblerOptions = {}) {
    this.origin = origin;
    this.#bits = bits;
  }

  /** Address of the next instruction or datum. */
  get here(): number {
    return this.origin + this.#size;
  }

  /** Bytes emitted so far. */
  get size(): number {
    return this.#size;
  }

  /** What follows runs in this mode: 16 is real mode, 64 is long mode. */
  bits(bits: Bits): void {
    this.#bits = bits;
  }

  /** Places a label here. */
  label(name: string): void {
    this.define(name, this.here);
  }

  /** Gives a label an address outside of this section. @throws X86AsmError ASM_LABEL */
  define(name: string, address: number): void {
    if (this.#labels.has(name)) {
      throw new X86AsmError(`label "${name}" is placed twice`, { code: "ASM_LABEL", details: { name } });
    }
    this.#labels.set(name, address);
  }

  /** Address of a label that is placed. @throws X86AsmError ASM_LABEL */
  addressOf(name: string): number {
    const address = this.#labels.get(name);
    if (address !== undefined) return address;
    throw new X86AsmError(`label "${name}" is not placed`, {
      code: "ASM_LABEL",
      details: { name },
      hint: "Place it with label(), or give its address with define().",
    });
  }

  /** Emits one instruction. @throws X86AsmError ASM_OPERANDS, ASM_ADDRESS, ASM_RANGE */
  emit(mnemonic: Mnemonic, ...operands: Operand[]): void {
    const { bytes, fixups } = encode(mnemonic, FORMS.get(mnemonic) as readonly Form[], operands, this.#bits);
    const start = this.#size;
    this.data(bytes);
    for (const fixup of fixups) {
      this.#patches.push({ ...fixup, offset: start + fixup.at, end: this.#size, where: `${mnemonic} ${fixup.target}` });
    }
  }

  u8(...values: number[]): void {
    this.data(values);
  }

  /** Little-endian data, as u32 and u64; a label stands for its address. */
  u16(...values: (number | string)[]): void {
    this.#numbers(2, values);
  }

  u32(...values: (number | string)[]): void {
    this.#numbers(4, values);
  }

  u64(...values: (number | bigint | string)[]): void {
    this.#numbers(8, values);
  }

  data(bytes: ArrayLike<number>): void {
    this.#reserve(bytes.length);
    this.#store.set(bytes, this.#size - bytes.length);
  }

  /** UTF-8 text; no terminator of its own (asciz adds one). */
  ascii(text: string): void {
    this.data(new TextEncoder().encode(text));
  }

  asciz(text: string): void {
    this.ascii(`${text}\0`);
  }

  space(length: number, fill = 0): void {
    this.#reserve(length);
    this.#store.fill(fill, this.#size - length, this.#size);
  }

  /** Zeroes up to the next multiple of `boundary` (of the address, not of the offset). */
  align(boundary: number): void {
    this.space((boundary - (this.here % boundary)) % boundary);
  }

  /** The finished section. May be called again after more was added. @throws X86AsmError ASM_LABEL, ASM_RANGE */
  bytes(): Uint8Array {
    for (const patch of this.#patches) this.#patch(patch);
    this.#patches = [];
    return this.#store.slice(0, this.#size);
  }

  #numbers(width: Width, values: readonly (number | bigint | string)[]): void {
    for (const value of values) {
      const offset = this.#size;
      this.space(width);
      if (typeof value !== "string") this.#write(offset, width, BigInt(value));
      else {
        const [target, end] = [value, this.#size];
        this.#patches.push({ at: 0, width, target, addend: 0n, kind: "address", offset, end, where: `data ${value}` });
      }
    }
  }

  #patch({ target, addend, kind, width, offset, end, where }: Patch): void {
    const address = BigInt(typeof target === "string" ? this.addressOf(target) : target) + addend;
    const value = kind === "relative" ? address - BigInt(this.origin + end) : address;
    if (kind === "address" ? !holds(value, width) : !holdsSigned(value, width)) {
      throw new X86AsmError(`${where}: ${value} does not fit ${8 * width} bits`, {
        code: "ASM_RANGE",
        details: { target, value: Number(value), bits: 8 * width },
        hint: kind === "relative" ? "The target is too far for this branch." : "Use movabs for the whole address.",
      });
    }
    this.#write(offset, width, value);
  }

  #write(offset: number, width: Width, value: bigint): void {
    for (let n = 0; n < width; n++) this.#store[offset + n] = Number((value >> BigInt(8 * n)) & 0xffn);
  }

  #reserve(length: number): void {
    const need = this.#size + length;
    if (need > this.#store.length) {
      const larger = new Uint8Array(Math.max(need, this.#store.length * 2));
      larger.set(this.#store);
      this.#store = larger;
    }
    this.#size = need;
  }
}

type MnemonicMethods = { readonly [M in Mnemonic]: (...operands: Operand[]) => void };
export type Assembler = AssemblerCore & MnemonicMethods;

for (const name of MNEMONICS) {
  const value = function (this: AssemblerCore, ...operands: Operand[]): void {
    this.emit(name, ...operands);
  };
  Object.defineProperty(AssemblerCore.prototype, name, { value });
}

export const Assembler = AssemblerCore as unknown as new (options?: AssemblerOptions) => Assembler;
