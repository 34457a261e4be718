// The body of one WebAssembly function while it is written: bytes, locals and the stack of open blocks.
// Labels are objects, and `br` computes its relative depth when it is emitted, so a piece of code does not
// need to know how deep it will end up. Source: WebAssembly core specification, chapter 5.4.

import { unsignedLeb } from "./leb.ts";

export type ValueType = "i32" | "i64";

/** A branch target: the end of a block, or the head of a loop. */
export interface Label {
  readonly name: string;
}

export const label = (name: string): Label => ({ name });

export const valueTypeByte = (type: ValueType): number => (type === "i32" ? 0x7f : 0x7e);

/** Emits instructions that leave nothing on the operand stack. */
export type Stmt = (body: FunctionBody) => void;
/** Emits instructions that leave one i32. The phantom member keeps the two widths apart for the type checker. */
export type I32 = ((body: FunctionBody) => void) & { readonly width?: 32 };
/** Emits instructions that leave one i64. */
export type I64 = ((body: FunctionBody) => void) & { readonly width?: 64 };

export class FunctionBody {
  readonly bytes: number[] = [];
  readonly locals: ValueType[] = [];
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
  private readonly open: (Label | null)[] = [];

  constructor(params: readonly ValueType[], results: readonly ValueType[]) {
    this.params = params;
    this.results = results;
  }

  byte(...values: number[]): void {
    for (const value of values) this.bytes.push(value);
  }

  uleb(value: number): void {
    unsignedLeb(this.bytes, value);
  }

  /** Declare a local and return its index (parameters come first). */
  addLocal(type: ValueType): number {
    this.locals.push(type);
    return this.params.length + this.locals.length - 1;
  }

  /** Open a `block`, `loop` or `if` (opcode 0x02, 0x03, 0x04) around what `inside` emits. */
  nest(opcode: number, target: Label | null, inside: () => void, result?: ValueType): void {
    this.byte(opcode, result === undefined ? 0x40 : valueTypeByte(result));
    this.open.push(target);
    inside();
    this.open.pop();
    this.byte(0x0b);
  }

  /** How many blocks lie between here and `target`; a label that is not open is a mistake of the emitter. */
  depthOf(target: Label): number {
    const at = this.open.lastIndexOf(target);
    if (at < 0) throw new Error(`wasm emitter: label "${target.name}" is not open here`);
    return this.open.length - 1 - at;
  }
}
