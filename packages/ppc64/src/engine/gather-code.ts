// The interpreter's part of store gathering: a store that missed the soft TLB, but whose page is entered there as one that
// bears combining, goes into the line that is being gathered without leaving WebAssembly. Everything else about such stores
// is decided in gathering.ts.
// Invariant: a line never holds bytes of two lines, and every byte of it that the mask names was stored by the guest.

import type { I32, I64, Stmt } from "../wasm/body.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import { call, i32, i64, local32, local64, param32, param64, ret, seq, when } from "../wasm/ops.ts";
import {
  COMPLETED,
  DATA_TLB,
  GATHER_DATA,
  GATHER_LINE,
  GATHER_MASK,
  GATHER_PENDING,
  GATHER_TAG,
  LINE_BYTES,
  SCRATCH,
  Step,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  WRITE_TLB,
} from "./layout.ts";

const zero = i32.const(0);

/**
 * (ea: i64, bytes: i32) -> Step: the store of the value in SCRATCH. `store` is the import that is asked when it cannot be
 * gathered: other memory, across two lines, or another line than the one that is being gathered.
 */
export function addGather(module: ModuleBuilder, store: number): number {
  return module.addFunction(["i64", "i32"], ["i32"], (f) => {
    const [ea, bytes] = [param64(0), param32(1)];
    const [entry, at] = [local32(f), local32(f)];
    const [line, mask] = [local64(f), local64(f)];
    const index = i32.and(i32.shrU(i32.wrap(ea.get), i32.const(8)), i32.const((TLB_ENTRIES - 1) * TLB_ENTRY_BYTES));
    const low = i32.wrap(ea.get);
    const high = i32.wrap(i64.shrU(ea.get, i64.const(32)));
    const unless = (condition: I32): Stmt => when(condition, ret(call(store, low, high, bytes.get)));
    const tag = i64.or(i64.and(ea.get, i64.const(-4096)), i64.const(GATHER_TAG));
    const covered = i64.sub(i64.shl(i64.const(1), i64.extendU(bytes.get)), i64.const(1));
    return seq(
      entry.set(i32.add(i32.load(zero, DATA_TLB), index)),
      unless(i64.ne(i64.load(entry.get, WRITE_TLB), tag)),
      at.set(i32.and(low, i32.const(LINE_BYTES - 1))),
      unless(i32.gtU(i32.add(at.get, bytes.get), i32.const(LINE_BYTES))),
      line.set(i64.or(i64.load(entry.get, WRITE_TLB + 8), i64.and(ea.get, i64.const(4096 - LINE_BYTES)))),
      mask.set(i64.load(zero, GATHER_MASK)),
      when(i32.load(zero, GATHER_PENDING), unless(i64.ne(line.get, i64.load(zero, GATHER_LINE)))),
      i64.store(zero, line.get, GATHER_LINE),
      i32.store(zero, i32.const(1), GATHER_PENDING),
      write(at.get, bytes.get),
      mask.set(i64.or(mask.get, i64.shl(covered, i64.extendU(at.get)))),
      i64.store(zero, mask.get, GATHER_MASK),
      when(i64.eq(mask.get, i64.const(-1)), i32.store(zero, i32.const(Step.done), COMPLETED)),
      zero,
    );
  });
}

/** The bytes of a store, little-endian like every access. */
function write(at: I32, bytes: I32): Stmt {
  const value = (): I64 => i64.load(zero, SCRATCH);
  const of = (size: number, store: Stmt, otherwise?: Stmt): Stmt =>
    when(i32.eq(bytes, i32.const(size)), store, otherwise);
  return of(
    8,
    i64.store(at, value(), GATHER_DATA),
    of(
      4,
      i64.store32(at, value(), GATHER_DATA),
      of(2, i64.store16(at, value(), GATHER_DATA), i64.store8(at, value(), GATHER_DATA)),
    ),
  );
}
