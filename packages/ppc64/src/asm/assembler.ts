// Mini assembler, driven by calls: one method per mnemonic (a.addi(r3, 0, 5), a.beq("done")), labels that may be used
// before they are placed, data directives, 64-bit constants. Little endian, one section from `origin` on.
// Invariant: bytes() is complete: every label used is defined, every operand fits, or a Ppc64Error says which does not.

import { Ppc64Error } from "../error.ts";
import type { Field, IntegerRow, RowName } from "../isa/encodings.ts";
import { MNEMONICS, type Mnemonic, type NamesOf, type OperandsOf } from "../isa/mnemonics.ts";
import { encodeInstruction, encodeOperand } from "./encode.ts";
import { EXTENDED, type Expansion, type ExtendedName, type Operand } from "./extended.ts";
import { Image } from "./image.ts";
import { loadConstant } from "./li64.ts";

export interface AssemblerOptions {
  /** Address of the first byte; a multiple of 4. Default 0. */
  readonly origin?: number;
}

const expansions = new Map(Object.entries(EXTENDED) as unknown as [string, (...operands: Operand[]) => Expansion][]);

interface Fixup {
  readonly offset: number;
  readonly label: string;
  /** What is patched: a branch target field, an addpcis/addi pair, or a data doubleword or word. */
  readonly kind: "branch" | "address" | "u64" | "u32";
  readonly field?: Field;
  readonly where: string;
}

export class AssemblerCore {
  private readonly image: Image;
  private fixups: Fixup[] = [];

  constructor(options: AssemblerOptions = {}) {
    this.image = new Image(options.origin ?? 0);
  }

  /** Address of the next instruction or datum. */
  get here(): number {
    return this.image.here;
  }

  get origin(): number {
    return this.image.origin;
  }

  /** Bytes emitted so far. */
  get size(): number {
    return this.image.size;
  }

  get labels(): ReadonlyMap<string, number> {
    return this.image.labels;
  }

  /** Places a label here. */
  label(name: string): void {
    this.image.define(name, this.here);
  }

  /** Gives a label an address outside of this section (another section, a fixed buffer). */
  define(name: string, address: number): void {
    this.image.define(name, address);
  }

  /** Address of a label that is already placed. */
  addressOf(name: string): number {
    return this.image.addressOf(name);
  }

  /** Emits one instruction by base or extended mnemonic. Branch targets are labels or absolute addresses. */
  emit(mnemonic: string, ...operands: Operand[]): void {
    const expand = expansions.get(mnemonic);
    if (expand !== undefined) {
      const [base, ...rest] = expand(...operands);
      this.emitBase(MNEMONICS.get(base)!, rest);
      return;
    }
    const base = MNEMONICS.get(mnemonic) ?? MNEMONICS.get(mnemonic.replace(/_$/, "."));
    if (base === undefined) {
      throw new Ppc64Error(`"${mnemonic}" is not an instruction that this assembler knows`, {
        code: "ASM_MNEMONIC",
        details: { mnemonic },
      });
    }
    this.emitBase(base, operands);
  }

  /** Loads any 64-bit constant, in as few instructions (1 to 5) as the plain scheme allows. */
  li64(rt: number, value: bigint | number): void {
    for (const [mnemonic, ...operands] of loadConstant(rt, value)) this.emit(mnemonic, ...operands);
  }

  /** Loads the address of a label, relative to the program counter (addpcis, addi): reach is 2 GiB both ways. */
  la(rt: number, label: string): void {
    this.fixups.push({ offset: this.size, label, kind: "address", where: `la ${rt},${label}` });
    this.emit("addpcis", rt, 0);
    this.emit("addi", rt, rt, 0);
  }

  /** Raw instruction word, for forms that the table does not have. */
  word(value: number): void {
    this.image.setWord(this.image.space(4), value);
  }

  u8(...values: number[]): void {
    this.image.append(values);
  }

  u16(...values: number[]): void {
    for (const v of values) this.image.append([v & 0xff, (v >> 8) & 0xff]);
  }

  /** 32-bit little-endian data; a label stands for its address. */
  u32(...values: Operand[]): void {
    for (const v of values) {
      if (typeof v === "string") this.fixups.push({ offset: this.size, label: v, kind: "u32", where: `u32 ${v}` });
      this.image.setWord(this.image.space(4), typeof v === "string" ? 0 : v);
    }
  }

  /** 64-bit little-endian data; a label stands for its address. */
  u64(...values: (bigint | Operand)[]): void {
    for (const v of values) {
      if (typeof v === "string") this.fixups.push({ offset: this.size, label: v, kind: "u64", where: `u64 ${v}` });
      this.image.setDoubleword(this.image.space(8), typeof v === "string" ? 0n : BigInt(v));
    }
  }

  data(bytes: ArrayLike<number>): void {
    this.image.append(bytes);
  }

  /** UTF-8 text; no terminator of its own (asciz adds one). */
  ascii(text: string): void {
    this.image.append(new TextEncoder().encode(text));
  }

  asciz(text: string): void {
    this.ascii(`${text}\0`);
  }

  space(length: number, fill = 0): void {
    this.image.space(length, fill);
  }

  /** Zeroes up to the next multiple of `boundary` (of the address, not of the offset). */
  align(boundary: number): void {
    this.image.space((boundary - (this.here % boundary)) % boundary);
  }

  /** The finished section. May be called again after more was added. @throws Ppc64Error ASM_LABEL, ASM_RANGE */
  bytes(): Uint8Array {
    for (const fixup of this.fixups) this.patch(fixup);
    this.fixups = [];
    return this.image.bytes();
  }

  private emitBase(m: Mnemonic, operands: readonly Operand[]): void {
    const offset = this.size;
    const numbers = operands.map((value, i) => {
      const f = m.row.fields[i];
      if (f?.kind !== "target") {
        if (typeof value === "string") {
          throw new Ppc64Error(`${m.name}: operand ${i + 1} cannot be the label "${value}"`, {
            code: "ASM_OPERANDS",
            details: { mnemonic: m.name, operand: i },
            hint: "load its address with la()",
          });
        }
        return value;
      }
      if (typeof value === "number") return m.name.endsWith("a") ? value : value - this.here;
      this.fixups.push({ offset, label: value, kind: "branch", field: f, where: `${m.name} ${value}` });
      return 0;
    });
    this.word(encodeInstruction(m, numbers));
  }

  private patch({ offset, label, kind, field, where }: Fixup): void {
    const target = this.image.addressOf(label);
    const distance = target - (this.image.origin + offset);
    if (kind === "u64") this.image.setDoubleword(offset, BigInt(target));
    else if (kind === "u32") this.image.setWord(offset, target);
    else if (kind === "branch") {
      const word = this.image.word(offset);
      this.image.setWord(offset, encodeOperand(word, field!, (word & 2) !== 0 ? target : distance, where));
    } else {
      const addpcis = MNEMONICS.get("addpcis")!.row.fields[1]!;
      const fromNext = distance - 4;
      const low = ((fromNext & 0xffff) ^ 0x8000) - 0x8000;
      this.image.setWord(offset, encodeOperand(this.image.word(offset), addpcis, (fromNext - low) / 0x10000, where));
      this.image.setWord(offset + 4, (this.image.word(offset + 4) | (low & 0xffff)) >>> 0);
    }
  }
}

type Dotless<N extends string> = N | (N extends `${infer Base}.` ? `${Base}_` : N);
type BaseMethods = {
  [R in IntegerRow as Dotless<NamesOf<R>>]: (...operands: OperandsOf<R["operands"]>) => void;
};
type ExtendedMethods = { [N in ExtendedName]: (...operands: Parameters<(typeof EXTENDED)[N]>) => void };
/** One method per mnemonic. Where the name ends in a dot there is a second spelling: a.andi_(...) is a["andi."](...). */
export type MnemonicMethods = Omit<BaseMethods, ExtendedName> & ExtendedMethods;
export type AnyMnemonic = keyof MnemonicMethods | RowName;

export type Assembler = AssemblerCore & MnemonicMethods;

function installMnemonics(prototype: object): void {
  for (const name of [...MNEMONICS.keys(), ...Object.keys(EXTENDED)]) {
    const value = function (this: AssemblerCore, ...operands: Operand[]): void {
      this.emit(name, ...operands);
    };
    Object.defineProperty(prototype, name, { value });
    if (name.endsWith(".")) Object.defineProperty(prototype, `${name.slice(0, -1)}_`, { value });
  }
}
installMnemonics(AssemblerCore.prototype);

export const Assembler = AssemblerCore as unknown as new (options?: AssemblerOptions) => Assembler;
