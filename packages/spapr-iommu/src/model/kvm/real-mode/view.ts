// The guest's view of a table, as compiled code reads and writes it. Source: kvmppc_rm_tce_put, kvmppc_rm_ioba_validate
// (arch/powerpc/kvm/book3s_64_vio_hv.c): a page that is not there yet reads as zeros, and cannot be made here.
// Invariant: an index is below the table's entries, so that it has a pointer to its page.
import {
  br,
  call,
  type I32,
  type I64,
  i32,
  i64,
  label,
  local32,
  local64,
  loop,
  param32,
  param64,
  ret,
  type Stmt,
  seq,
  when,
} from "@minivmm/ppc64/wasm";
import { GUEST } from "../../arena/index.ts";
import type { Context } from "./context.ts";

export interface GuestView {
  /** 1 when all pages of `count` entries are there. */
  present(table: I32, index: I64, count: I64): I32;
  /** Stores a value in `count` entries; pages that are missing are passed over. */
  fill(table: I32, index: I64, count: I64, value: I64): Stmt;
  read(table: I32, index: I64): I64;
}

const one = i64.const(1);

export function addGuestView(c: Context): GuestView {
  const page = addPage(c);
  const present = addPresent(c, page);
  const fill = addFill(c, page);
  const read = addRead(c, page);
  return {
    present: (...args) => call(present, ...args) as I32,
    fill: (...args) => call(fill, ...args),
    read: (...args) => call(read, ...args) as I64,
  };
}

/** Where an entry is, or 0. */
function addPage({ module, at, rules }: Context): number {
  const shift = rules.pageShift - 3;
  return module.addFunction(["i32", "i64"], ["i32"], (f) => {
    const [table, index] = [param32(0), param64(1)];
    const page = local32(f);
    const slot = i32.add(
      at.pointer(table.get, GUEST.PAGES),
      i32.shl(i32.wrap(i64.shrU(index.get, i64.const(shift))), i32.const(2)),
    );
    return seq(
      page.set(at.pointer(slot, 0)),
      when(i32.eqz(page.get), ret(i32.const(0))),
      i32.add(page.get, i32.shl(i32.wrap(i64.and(index.get, i64.const(2 ** shift - 1))), i32.const(3))),
    );
  });
}

/** The first entry of the next page, or `end` when that comes before. */
function stopOf({ rules }: Context, index: I64, end: I64, set: (value: I64) => Stmt, get: I64): Stmt {
  return seq(
    set(i64.add(i64.or(index, i64.const(2 ** (rules.pageShift - 3) - 1)), one)),
    when(i64.gtU(get, end), set(end)),
  );
}

function addPresent(c: Context, page: number): number {
  return c.module.addFunction(["i32", "i64", "i64"], ["i32"], (f) => {
    const [table, index, count] = [param32(0), param64(1), param64(2)];
    const [end, stop] = [local64(f), local64(f)];
    const next = label("next");
    return seq(
      end.set(i64.add(index.get, count.get)),
      loop(
        next,
        when(i64.geU(index.get, end.get), ret(i32.const(1))),
        when(i32.eqz(call(page, table.get, index.get) as I32), ret(i32.const(0))),
        stopOf(c, index.get, end.get, stop.set, stop.get),
        index.set(stop.get),
        br(next),
      ),
      i32.const(0),
    );
  });
}

function addFill(c: Context, page: number): number {
  const { module, at } = c;
  return module.addFunction(["i32", "i64", "i64", "i64"], [], (f) => {
    const [table, index, count, value] = [param32(0), param64(1), param64(2), param64(3)];
    const [end, stop, entry, left] = [local64(f), local64(f), local32(f), local32(f)];
    const [pages, next] = [label("pages"), label("next")];
    return seq(
      end.set(i64.add(index.get, count.get)),
      loop(
        pages,
        when(
          i64.ltU(index.get, end.get),
          seq(
            stopOf(c, index.get, end.get, stop.set, stop.get),
            entry.set(call(page, table.get, index.get) as I32),
            when(
              entry.get,
              seq(
                left.set(i32.wrap(i64.sub(stop.get, index.get))),
                loop(
                  next,
                  at.setWide(entry.get, 0, value.get),
                  entry.set(i32.add(entry.get, i32.const(8))),
                  left.set(i32.sub(left.get, i32.const(1))),
                  when(left.get, br(next)),
                ),
              ),
            ),
            index.set(stop.get),
            br(pages),
          ),
        ),
      ),
    );
  });
}

function addRead({ module, at }: Context, page: number): number {
  return module.addFunction(["i32", "i64"], ["i64"], (f) => {
    const entry = local32(f);
    return seq(
      entry.set(call(page, param32(0).get, param64(1).get) as I32),
      when(i32.eqz(entry.get), ret(i64.const(0))),
      at.wide(entry.get, 0),
    );
  });
}
