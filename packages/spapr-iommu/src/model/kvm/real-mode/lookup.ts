// Finding things, as compiled code does it: a table by LIOBN, an entry's index, memory behind a guest address, registered
// memory, the place of a hardware entry. Nothing here writes. Source: kvmppc_find_table, kvmppc_ioba_validate,
// kvmppc_tce_to_ua, mm_iommu_lookup_rm, iommu_table's tree (arch/powerpc/kvm/book3s_64_vio_hv.c).
// Invariants: whatever the arguments are, what is found lies in a record that the model wrote; comparisons are unsigned and
// never add what could overflow.
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
  seq,
  when,
} from "@minivmm/ppc64/wasm";
import { DIRECTORY_SHIFT, GUEST, HARDWARE, LEAF_ENTRIES, LEAF_SHIFT, REGION, SLOT, VM } from "../../arena/index.ts";
import type { Context } from "./context.ts";

/** Functions as expressions. */
export interface Lookups {
  /** GUEST record of a LIOBN, or 0. */
  table(liobn: I64): I32;
  /** First entry's index, or -1 unless all `count` entries are the table's. */
  index(table: I32, ioba: I64, count: I64): I64;
  /** User address behind a TCE's guest address, without permission bits; -1 outside of memory. */
  user(tce: I64): I64;
  /** REGION record that holds all `bytes` from a user address on, or 0. */
  region(user: I64, bytes: I64): I32;
  /** Where a hardware table's entry is, or 0: behind the table's end, or no leaf there yet. */
  entry(hardware: I32, index: I64): I32;
}

const zero = i32.const(0);
const none = i64.const(-1);
const wide = (value: I32): I64 => i64.extendU(value);

export function addLookups(c: Context): Lookups {
  const [table, index, user, region, entry] = [tableOf(c), indexOf(c), userOf(c), regionOf(c), entryOf(c)];
  return {
    table: (liobn) => call(table, liobn) as I32,
    index: (guest, ioba, count) => call(index, guest, ioba, count) as I64,
    user: (tce) => call(user, tce) as I64,
    region: (address, bytes) => call(region, address, bytes) as I32,
    entry: (hardware, at) => call(entry, hardware, at) as I32,
  };
}

function tableOf({ module, at, vm }: Context): number {
  return module.addFunction(["i64"], ["i32"], (f) => {
    const liobn = param64(0);
    const table = local32(f);
    const next = label("next");
    return seq(
      table.set(at.pointer(vm, VM.TABLES)),
      loop(
        next,
        when(i32.eqz(table.get), ret(zero)),
        when(i64.eq(at.wide(table.get, GUEST.LIOBN), liobn.get), ret(table.get)),
        table.set(at.pointer(table.get, GUEST.NEXT)),
        br(next),
      ),
      zero,
    );
  });
}

function indexOf({ module, at, rules }: Context): number {
  return module.addFunction(["i32", "i64", "i64"], ["i64"], (f) => {
    const [table, ioba, count] = [param32(0), param64(1), param64(2)];
    const [shift, index, entries] = [local64(f), local64(f), local64(f)];
    const below = i64.sub(i64.shl(i64.const(1), shift.get), i64.const(1));
    return seq(
      shift.set(wide(at.word(table.get, GUEST.PAGE_SHIFT))),
      rules.validate === "none" ? seq() : when(i64.ne(i64.and(ioba.get, below), i64.const(0)), ret(none)),
      index.set(i64.shrU(ioba.get, shift.get)),
      when(i64.ltU(index.get, at.wide(table.get, GUEST.OFFSET)), ret(none)),
      index.set(i64.sub(index.get, at.wide(table.get, GUEST.OFFSET))),
      entries.set(at.wide(table.get, GUEST.ENTRIES)),
      when(i64.gtU(count.get, entries.get), ret(none)),
      when(i64.gtU(index.get, i64.sub(entries.get, count.get)), ret(none)),
      index.get,
    );
  });
}

function userOf({ module, at, vm, rules }: Context): number {
  const inPage = 2 ** rules.pageShift - 4;
  const pageShift = i64.const(rules.pageShift);
  return module.addFunction(["i64"], ["i64"], (f) => {
    const tce = param64(0);
    const [page, inside, slot, left] = [local64(f), local64(f), local32(f), local32(f)];
    const next = label("next");
    return seq(
      page.set(i64.shrU(tce.get, pageShift)),
      slot.set(at.pointer(vm, VM.SLOTS)),
      left.set(at.word(vm, VM.SLOT_COUNT)),
      loop(
        next,
        when(i32.eqz(left.get), ret(none)),
        // Below the slot's first page this is far above its size.
        inside.set(i64.sub(page.get, at.wide(slot.get, SLOT.PAGE))),
        when(
          i64.ltU(inside.get, at.wide(slot.get, SLOT.PAGES)),
          ret(
            i64.add(
              i64.add(at.wide(slot.get, SLOT.USER), i64.shl(inside.get, pageShift)),
              i64.and(tce.get, i64.const(inPage)),
            ),
          ),
        ),
        slot.set(i32.add(slot.get, i32.const(SLOT.SIZE * 4))),
        left.set(i32.sub(left.get, i32.const(1))),
        br(next),
      ),
      none,
    );
  });
}

function regionOf({ module, at, vm }: Context): number {
  return module.addFunction(["i64", "i64"], ["i32"], (f) => {
    const [user, bytes] = [param64(0), param64(1)];
    const region = local32(f);
    const next = label("next");
    return seq(
      region.set(at.pointer(at.pointer(vm, VM.REGIONS), 0)),
      loop(
        next,
        when(i32.eqz(region.get), ret(zero)),
        when(
          i32.and(
            i64.geU(user.get, at.wide(region.get, REGION.START)),
            i64.leU(i64.add(user.get, bytes.get), at.wide(region.get, REGION.END)),
          ),
          ret(region.get),
        ),
        region.set(at.pointer(region.get, REGION.NEXT)),
        br(next),
      ),
      zero,
    );
  });
}

function entryOf({ module, at }: Context): number {
  return module.addFunction(["i32", "i64"], ["i32"], (f) => {
    const [hardware, index] = [param32(0), param64(1)];
    const [node, level] = [local32(f), local32(f)];
    const next = label("next");
    const shift = i64.add(wide(i32.mul(level.get, i32.const(DIRECTORY_SHIFT))), i64.const(LEAF_SHIFT));
    const slot = i32.and(i32.wrap(i64.shrU(index.get, shift)), i32.const((1 << DIRECTORY_SHIFT) - 1));
    return seq(
      when(i64.geU(index.get, at.wide(hardware.get, HARDWARE.ENTRIES)), ret(zero)),
      node.set(at.pointer(hardware.get, HARDWARE.ROOT)),
      level.set(at.word(hardware.get, HARDWARE.DEPTH)),
      loop(
        next,
        when(i32.eqz(node.get), ret(zero)),
        when(
          level.get,
          seq(
            level.set(i32.sub(level.get, i32.const(1))),
            node.set(at.pointer(i32.add(node.get, i32.shl(slot, i32.const(2))), 0)),
            br(next),
          ),
        ),
      ),
      i32.add(node.get, i32.shl(i32.wrap(i64.and(index.get, i64.const(LEAF_ENTRIES - 1))), i32.const(3))),
    );
  });
}
