// Subpath "@minivmm/ppc64/asm": mini assembler, ELF writer, disassembler and the encoding table they are made from.

export { Ppc64Error } from "../error.ts";
export { disassemble } from "../isa/disasm.ts";
export * from "../isa/encodings.ts";
export { MNEMONICS, type Mnemonic, mnemonicOf } from "../isa/mnemonics.ts";
export { type AnyMnemonic, Assembler, type AssemblerOptions, type MnemonicMethods } from "./assembler.ts";
export { buildElf, type ElfOptions, type ElfSegment, PF_R, PF_W, PF_X } from "./elf.ts";
export { EXTENDED, type ExtendedName, type Operand } from "./extended.ts";
export { loadConstant } from "./li64.ts";
export * from "./registers.ts";
