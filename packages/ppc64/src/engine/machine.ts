// What the semantics of an instruction are written against: registers, state, memory and control flow as code-emitting
// expressions. The interpreter is one provider (operands come out of a predecoded record); a compiler of hot regions
// would be another (operands are constants, registers are locals). Semantics never look behind this interface.

import type { I32, I64, Stmt } from "../wasm/body.ts";
import type { Local } from "../wasm/ops.ts";

/** Operand fields of a record. */
export type Slot = "a" | "b" | "c";
export type AccessBytes = 1 | 2 | 4 | 8;

export interface Machine {
  /** Scratch locals; their values do not outlive the instruction. */
  readonly w: readonly [Local<I64>, Local<I64>, Local<I64>, Local<I64>];
  readonly n: readonly [Local<I32>, Local<I32>, Local<I32>];

  /** The general register that an operand names. */
  gpr(slot: Slot): I64;
  setGpr(slot: Slot, value: I64): Stmt;
  /** An operand as the number it is. */
  operand(slot: Slot): I32;
  readonly imm: I64;
  readonly imm32: I32;
  /** Byte n of the immediate. */
  immByte(n: number): I32;

  /** CPU state at a fixed offset (see layout.ts). */
  state8(offset: number): I32;
  setState8(offset: number, value: I32): Stmt;
  state64(offset: number): I64;
  setState64(offset: number, value: I64): Stmt;
  /** CPU state at an offset that an operand holds: one byte (CR fields) or a doubleword (special registers). */
  stateByteAt(offset: I32): I32;
  setStateByteAt(offset: I32, value: I32): Stmt;
  stateAt(offset: I32): I64;
  setStateAt(offset: I32, value: I64): Stmt;

  /** A guest access at an effective address. Leaves the instruction, to be executed again or never, when it faults. */
  load(address: I64, bytes: AccessBytes, signed: boolean): I64;
  store(address: I64, bytes: AccessBytes, value: I64): Stmt;
  /** Wasm address of guest memory that must not cross a page: for aligned accesses that cannot be split. */
  host(address: I64, bytes: number, write: boolean): I32;

  /** Address of this instruction, and the time base as it executes. */
  readonly pc: I64;
  readonly time: I64;
  /** Hand the instruction to the TypeScript side: faults, system instructions. Never comes back here. */
  readonly escape: Stmt;
  /** Ask compiled code for hypercalls; goes on behind this when it has answered in r3 and r4. Only in branch handlers. */
  readonly hypercall: Stmt;
  call(helper: "mulhdu" | "divdeu" | "bpermd", x: I64, y: I64): I64;

  /** Continue in this page, at the immediate (in record bytes) from here. Only in branch handlers. */
  readonly jumpInPage: Stmt;
  /** Continue at an address. Only in branch handlers. */
  jump(target: I64): Stmt;
  /** Leave this page at its end without counting an instruction. */
  readonly leavePage: Stmt;
}
