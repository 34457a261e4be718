// Entries of hardware tables, as compiled code changes them. Source: kvmppc_rm_tce_iommu_do_map, _do_unmap, _mapped_dec,
// kvmppc_rm_clear_tce (arch/powerpc/kvm/book3s_64_vio_hv.c). The counterpart in virtual mode is ../hardware.ts.
// Nothing can be allocated here: a level or a view that is missing is H_TOO_HARD.
// Invariants: an entry with permissions points into a registered region, and the region counts it; an entry whose old
// memory is not registered any more keeps what it has.

import { H_CLOSED, H_HARDWARE, H_SUCCESS } from "@minivmm/kvm";
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
  select64,
  seq,
  when,
} from "@minivmm/ppc64/wasm";
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../../../uapi.ts";
import {
  HARDWARE,
  HARDWARE_FORWARDED,
  HARDWARE_REFUSES,
  HARDWARE_USER_VIEW,
  HARDWARE_WRITE_IMPLIES_READ,
  LEAF_ENTRIES,
  LEAF_USER,
  REGION,
} from "../../arena/index.ts";
import type { Context } from "./context.ts";
import type { Lookups } from "./lookup.ts";

export interface Entries {
  /** Maps `count` entries to user memory from `user` on; the result of the first that fails, or H_SUCCESS. */
  map(hardware: I32, first: I64, count: I64, user: I64, permission: I64): I32;
  /** Takes entries away: H_SUCCESS or H_TOO_HARD. */
  unmap(hardware: I32, first: I64, count: I64): I32;
  /** No entry of these, whatever they were counted for. */
  clear(hardware: I32, first: I64, count: I64): Stmt;
}

const PERMISSION = TCE_PCI_READ | TCE_PCI_WRITE;
const success = i32.const(H_SUCCESS);
const one = i64.const(1);
const permissionOf = (entry: I64): I64 => i64.and(entry, i64.const(PERMISSION));
const isSet = (value: I64): I32 => i64.ne(value, i64.const(0));
const has = (flags: I32, flag: number): I32 => i32.and(flags, i32.const(flag));

export function addEntries(c: Context, find: Lookups): Entries {
  const mapOne = addMapOne(c, find);
  const map = addMap(c, mapOne);
  const unmap = addUnmap(c, find);
  const clear = addClear(c, find);
  return {
    map: (...args) => call(map, ...args) as I32,
    unmap: (...args) => call(unmap, ...args) as I32,
    clear: (...args) => call(clear, ...args),
  };
}

/** A region has an entry less; it never goes below the one that stands for itself. */
function mappedDec({ at }: Context, region: I32): Stmt {
  return when(i32.gtU(at.word(region, REGION.MAPPED), i32.const(1)), at.addWord(region, REGION.MAPPED, -1));
}

function addMapOne(c: Context, find: Lookups): number {
  const { module, at, rules } = c;
  const pageShift = i64.const(rules.pageShift);
  const failed = (code: number): Stmt => ret(rules.goesOn ? i32.const(code) : c.tooHard("hardware"));
  return module.addFunction(["i32", "i64", "i64", "i64"], ["i32"], (f) => {
    const [hardware, index, user, wanted] = [param32(0), param64(1), param64(2), param64(3)];
    const [flags, region, old, entry] = [local32(f), local32(f), local32(f), local32(f)];
    const [size, inside, before, permission] = [local64(f), local64(f), local64(f), local64(f)];
    const shift = at.word(hardware.get, HARDWARE.PAGE_SHIFT);
    const page = i32.add(
      at.pointer(region.get, REGION.PAGES),
      i32.shl(i32.wrap(i64.shrU(inside.get, pageShift)), i32.const(3)),
    );
    const physical = i64.add(at.wide(page, 0), i64.and(inside.get, i64.const(2 ** rules.pageShift - 1)));
    return seq(
      flags.set(at.word(hardware.get, HARDWARE.FLAGS)),
      when(i32.eqz(has(flags.get, HARDWARE_USER_VIEW)), ret(c.tooHard("noUserView"))),
      when(has(flags.get, HARDWARE_FORWARDED | HARDWARE_REFUSES), ret(c.tooHard("hardware"))),
      size.set(i64.shl(one, i64.extendU(shift))),
      region.set(find.region(user.get, size.get)),
      when(i32.eqz(region.get), ret(c.tooHard("notRegistered"))),
      when(i32.gtU(shift, at.word(region.get, REGION.PAGE_SHIFT)), failed(H_HARDWARE)),
      // 0, and the largest number, which cannot be counted on.
      when(i32.leU(i32.add(at.word(region.get, REGION.MAPPED), i32.const(1)), i32.const(1)), failed(H_CLOSED)),
      entry.set(find.entry(hardware.get, index.get)),
      when(i32.eqz(entry.get), ret(c.tooHard("missingLevel"))),
      at.addWord(region.get, REGION.MAPPED, 1),
      inside.set(i64.sub(user.get, at.wide(region.get, REGION.START))),
      before.set(permissionOf(at.wide(entry.get, 0))),
      permission.set(wanted.get),
      when(
        i32.and(
          i32.ne(has(flags.get, HARDWARE_WRITE_IMPLIES_READ), i32.const(0)),
          isSet(i64.and(wanted.get, i64.const(TCE_PCI_WRITE))),
        ),
        permission.set(i64.const(PERMISSION)),
      ),
      at.setWide(entry.get, 0, select64(isSet(permission.get), i64.add(physical, permission.get), i64.const(0))),
      at.setWord(
        hardware.get,
        HARDWARE.LIVE,
        i32.add(at.word(hardware.get, HARDWARE.LIVE), i32.sub(isSet(permission.get), isSet(before.get))),
      ),
      when(
        isSet(before.get),
        seq(old.set(find.region(at.wide(entry.get, LEAF_USER), size.get)), when(old.get, mappedDec(c, old.get))),
      ),
      at.setWide(entry.get, LEAF_USER, user.get),
      success,
    );
  });
}

function addMap({ module, at }: Context, mapOne: number): number {
  return module.addFunction(["i32", "i64", "i64", "i64", "i64"], ["i32"], (f) => {
    const [hardware, index, left, user, permission] = [param32(0), param64(1), param64(2), param64(3), param64(4)];
    const code = local32(f);
    const next = label("next");
    const size = i64.shl(one, i64.extendU(at.word(hardware.get, HARDWARE.PAGE_SHIFT)));
    return seq(
      loop(
        next,
        code.set(call(mapOne, hardware.get, index.get, user.get, permission.get) as I32),
        when(code.get, ret(code.get)),
        left.set(i64.sub(left.get, one)),
        when(isSet(left.get), seq(index.set(i64.add(index.get, one)), user.set(i64.add(user.get, size)), br(next))),
      ),
      success,
    );
  });
}

function addUnmap(c: Context, find: Lookups): number {
  const { module, at } = c;
  return module.addFunction(["i32", "i64", "i64"], ["i32"], (f) => {
    const [hardware, index, count] = [param32(0), param64(1), param64(2)];
    const [flags, region, entry, left] = [local32(f), local32(f), local32(f), local32(f)];
    const [end, stop, size, user, start, behind] = [
      local64(f),
      local64(f),
      local64(f),
      local64(f),
      local64(f),
      local64(f),
    ];
    const [leaf, next] = [label("leaf"), label("next")];
    // The region that was found last is looked at first; none yet: nothing lies in [0, 0).
    const inRegion = i32.and(i64.geU(user.get, start.get), i64.leU(i64.add(user.get, size.get), behind.get));
    const giveUp = seq(
      when(i32.eqz(has(flags.get, HARDWARE_USER_VIEW)), ret(c.tooHard("noUserView"))),
      user.set(at.wide(entry.get, LEAF_USER)),
      when(
        i32.eqz(inRegion),
        seq(
          region.set(find.region(user.get, size.get)),
          when(i32.eqz(region.get), ret(c.tooHard("notRegistered"))),
          start.set(at.wide(region.get, REGION.START)),
          behind.set(at.wide(region.get, REGION.END)),
        ),
      ),
      mappedDec(c, region.get),
      at.setWide(entry.get, 0, i64.const(0)),
      at.setWide(entry.get, LEAF_USER, i64.const(0)),
      at.addWord(hardware.get, HARDWARE.LIVE, -1),
    );
    return seq(
      flags.set(at.word(hardware.get, HARDWARE.FLAGS)),
      when(has(flags.get, HARDWARE_FORWARDED | HARDWARE_REFUSES), ret(c.tooHard("hardware"))),
      when(i32.eqz(at.word(hardware.get, HARDWARE.LIVE)), ret(success)),
      size.set(i64.shl(one, i64.extendU(at.word(hardware.get, HARDWARE.PAGE_SHIFT)))),
      end.set(i64.add(index.get, count.get)),
      // Behind the table's end there is nothing.
      when(i64.gtU(end.get, at.wide(hardware.get, HARDWARE.ENTRIES)), end.set(at.wide(hardware.get, HARDWARE.ENTRIES))),
      loop(
        leaf,
        when(i64.geU(index.get, end.get), ret(success)),
        stop.set(i64.add(i64.or(index.get, i64.const(LEAF_ENTRIES - 1)), one)),
        when(i64.gtU(stop.get, end.get), stop.set(end.get)),
        entry.set(find.entry(hardware.get, index.get)),
        when(
          entry.get,
          seq(
            left.set(i32.wrap(i64.sub(stop.get, index.get))),
            loop(
              next,
              when(isSet(permissionOf(at.wide(entry.get, 0))), giveUp),
              entry.set(i32.add(entry.get, i32.const(8))),
              left.set(i32.sub(left.get, i32.const(1))),
              when(left.get, br(next)),
            ),
          ),
        ),
        index.set(stop.get),
        br(leaf),
      ),
      success,
    );
  });
}

function addClear({ module, at }: Context, find: Lookups): number {
  return module.addFunction(["i32", "i64", "i64"], [], (f) => {
    const [hardware, index, left] = [param32(0), param64(1), param64(2)];
    const entry = local32(f);
    const next = label("next");
    return loop(
      next,
      entry.set(find.entry(hardware.get, index.get)),
      when(
        entry.get,
        seq(
          when(isSet(permissionOf(at.wide(entry.get, 0))), at.addWord(hardware.get, HARDWARE.LIVE, -1)),
          at.setWide(entry.get, 0, i64.const(0)),
        ),
      ),
      index.set(i64.add(index.get, one)),
      left.set(i64.sub(left.get, one)),
      when(isSet(left.get), br(next)),
    );
  });
}
