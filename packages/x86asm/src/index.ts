// The face of @minivmm/x86asm: the assembler, its registers and memory operands.

export { Assembler, type AssemblerOptions, MNEMONICS, type Mnemonic } from "./assembler.ts";
export { type ElfProgram, elfImage } from "./elf.ts";
export { X86AsmError, type X86AsmErrorInfo } from "./error.ts";
export type { Bits } from "./form.ts";
export { byte, dword, type Memory, mem, type Operand, type Place, qword, word } from "./operands.ts";
export * from "./registers.ts";
