// The table of instruction semantics, filled by the files in semantics/. A *handler* is one piece of generated code; a
// *decoder* turns a word of one mnemonic into a record and says which handler executes it. Usually one of each.
// Handlers marked hot live in the interpreter's main function; the others in the function it calls for everything rare.

import type { Stmt } from "../wasm/body.ts";
import type { Machine } from "./machine.ts";

/** Operand fields of a record while an instruction is decoded. Immediates are two signed 32-bit halves. */
export interface RecordFields {
  a: number;
  b: number;
  c: number;
  immLo: number;
  immHi: number;
}

/** Extracts operands. `offset` is the instruction's byte offset in its 4 KiB page. */
export type Layout = (word: number, record: RecordFields, offset: number) => void;
export type Emit = (m: Machine) => Stmt;

export interface Handler {
  readonly name: string;
  readonly emit: Emit;
  readonly hot: boolean;
  /** Sets the next instruction itself; exists in the main function only. */
  readonly branch: boolean;
}

export type Decoder = (word: number, record: RecordFields, offset: number) => Handler;

export class InstructionTable {
  readonly handlers: Handler[] = [];
  readonly decoders = new Map<string, Decoder>();

  /** Registers code without a mnemonic of its own. */
  handler(name: string, kind: "hot" | "cold" | "branch", emit: Emit): Handler {
    const handler: Handler = { name, emit, hot: kind !== "cold", branch: kind === "branch" };
    this.handlers.push(handler);
    return handler;
  }

  /** One mnemonic (with its suffixes: "add", "add.", "addo", "addo."), one handler. */
  instruction(mnemonic: string, kind: "hot" | "cold", layout: Layout, emit: Emit): Handler {
    const handler = this.handler(mnemonic, kind, emit);
    this.decoders.set(mnemonic, (word, record, offset) => {
      layout(word, record, offset);
      return handler;
    });
    return handler;
  }

  /** A mnemonic whose decoder chooses between handlers. */
  choice(mnemonic: string, decoder: Decoder): void {
    this.decoders.set(mnemonic, decoder);
  }
}
