// Compiled code that answers hypercalls inside the interpreter's dispatch: a WebAssembly function that the interpreter calls
// through a table, with no JavaScript in between. It gets r3 to r7 and returns whether it has answered, r3 and r4; what it
// does not answer goes on as if it had not been asked. What a call means is its business alone.
// It may read guest RAM through two functions of the interpreter, since a module has one memory, and that is its own.
// Invariants: it must not run this CPU; addresses for load64 come from ramAt, so that the CPU's state stays out of reach.

import type { FunctionTable } from "../wasm/runtime.ts";
import { COMPILED, RAM_BYTES, RAM_START } from "./layout.ts";
import type { CpuState } from "./state.ts";

/** Functions for compiled code to import. */
export interface GuestRamFunctions {
  /** (real: i64, bytes: i32) -> i32: an address for load64 when all these bytes are RAM in place, else 0. */
  readonly ramAt: object;
  /** (address: i32) -> i64: eight bytes, little-endian. */
  readonly load64: object;
}

export class CompiledHypercalls {
  readonly imports: GuestRamFunctions;
  private readonly state: CpuState;
  private readonly table: FunctionTable;

  /** `table` is the interpreter's. */
  constructor(state: CpuState, table: FunctionTable, { ramAt, load64 }: GuestRamFunctions, ramStart: number) {
    this.state = state;
    this.table = table;
    this.imports = { ramAt, load64 };
    state.u32[RAM_START >> 2] = ramStart;
  }

  /**
   * A function (r3, r4, r5, r6, r7: i64) -> (answered: i32, r3: i64, r4: i64) that a WebAssembly module exports, or null
   * for none. A function of another type is a trap at the guest's next hypercall.
   */
  use(code: object | null): void {
    this.table.set(0, code);
    this.state.i32[COMPILED >> 2] = code === null ? 0 : 1;
  }

  /** How much RAM there is in place. */
  setRamBytes(bytes: number): void {
    this.state.u32[RAM_BYTES >> 2] = bytes;
  }
}
