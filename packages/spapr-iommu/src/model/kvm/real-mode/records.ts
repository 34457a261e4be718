// Fields of the arena's records as expressions of compiled code. A record is named by its byte offset from the arena's
// start: four times its pointer. Fields are the word offsets of arena/layout.ts.
import { type I32, type I64, i32, i64, type Stmt } from "@minivmm/ppc64/wasm";

export class Records {
  readonly #base: number;

  /** `base`: byte of the memory at which the arena begins. */
  constructor(base: number) {
    this.#base = base;
  }

  word(record: I32, field: number): I32 {
    return i32.load(record, this.#base + field * 4);
  }

  setWord(record: I32, field: number, value: I32): Stmt {
    return i32.store(record, value, this.#base + field * 4);
  }

  wide(record: I32, field: number): I64 {
    return i64.load(record, this.#base + field * 4);
  }

  setWide(record: I32, field: number, value: I64): Stmt {
    return i64.store(record, value, this.#base + field * 4);
  }

  /** The record that a field points to; 0 is none. */
  pointer(record: I32, field: number): I32 {
    return i32.shl(this.word(record, field), i32.const(2));
  }

  /** Evaluates `record` twice. */
  addWord(record: I32, field: number, amount: number): Stmt {
    return this.setWord(record, field, i32.add(this.word(record, field), i32.const(amount)));
  }

  addWide(record: I32, field: number, amount: I64): Stmt {
    return this.setWide(record, field, i64.add(this.wide(record, field), amount));
  }
}
