// The four hypercalls in compiled code: checks and effects in the kernel's order, each a function of its own.
// Source: kvmppc_rm_h_put_tce, _put_tce_indirect, _stuff_tce, kvmppc_h_get_tce (arch/powerpc/kvm/book3s_64_vio_hv.c).
// Results are hypercall codes. H_TOO_HARD leaves what was done before it: the next stage does the whole call again.
// Invariant: only what index() and present() have allowed is written.

import { H_PARAMETER, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import {
  block,
  br,
  call,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
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
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../../../uapi.ts";
import { TCE_LIST_ENTRIES } from "../../../uapi-kvm.ts";
import { GUEST, HARDWARE, LINK, REGION, VM } from "../../arena/index.ts";
import { INDIRECT, PUT, STUFF } from "../counters.ts";
import type { Context } from "./context.ts";
import type { Entries } from "./entries.ts";
import type { Lookups } from "./lookup.ts";
import type { GuestView } from "./view.ts";

/** Function numbers; the parameters are r4 on. `get` returns the code and the value. */
export interface Calls {
  readonly put: number;
  readonly indirect: number;
  readonly stuff: number;
  readonly get: number;
}

const PERMISSION = i64.const(TCE_PCI_READ | TCE_PCI_WRITE);
const success = i32.const(H_SUCCESS);
const parameter = i32.const(H_PARAMETER);
const one = i64.const(1);
const isSet = (value: I64): I32 => i64.ne(value, i64.const(0));
const isNone = (value: I64): I32 => i64.ltS(value, i64.const(0));

export class CallBuilder {
  readonly #c: Context;
  readonly #find: Lookups;
  readonly #entries: Entries;
  readonly #view: GuestView;

  constructor(c: Context, find: Lookups, entries: Entries, view: GuestView) {
    this.#c = c;
    this.#find = find;
    this.#entries = entries;
    this.#view = view;
  }

  build(): Calls {
    const validate = this.#validate();
    return { put: this.#put(validate), indirect: this.#indirect(validate), stuff: this.#stuff(), get: this.#get() };
  }

  /** For each attached hardware table of `table`, with log2 of its entries for one of the guest's in `fan`. */
  #eachLink(table: I32, link: Local<I32>, hardware: Local<I32>, fan: Local<I64>, body: Stmt): Stmt {
    const { at } = this.#c;
    const next = label("link");
    return seq(
      link.set(at.pointer(table, GUEST.LINKS)),
      loop(
        next,
        when(
          link.get,
          seq(
            hardware.set(at.pointer(link.get, LINK.HARDWARE)),
            fan.set(i64.extendU(i32.sub(at.word(table, GUEST.PAGE_SHIFT), at.word(hardware.get, HARDWARE.PAGE_SHIFT)))),
            body,
            link.set(at.pointer(link.get, LINK.NEXT)),
            br(next),
          ),
        ),
      ),
    );
  }

  /** A failure that is nobody's: the entries of guest entry `index` go. Only kernels that go on come here. */
  #clear(hardware: I32, index: I64, fan: I64): Stmt {
    const { at, vm, imports } = this.#c;
    return seq(
      this.#entries.clear(hardware, i64.shl(index, fan), i64.shl(one, fan)),
      when(i32.eqz(at.word(vm, VM.WARNED)), call(imports.warn, i32.wrap(index))),
    );
  }

  /** kvmppc_rm_tce_validate. */
  #validate(): number {
    const { module, at, rules } = this.#c;
    return module.addFunction(["i32", "i64"], ["i32"], (f) => {
      const [table, tce] = [param32(0), param64(1)];
      const [link, hardware, region, fan, user] = [local32(f), local32(f), local32(f), local64(f), local64(f)];
      const shift = i64.extendU(at.word(table.get, GUEST.PAGE_SHIFT));
      const address = i64.and(tce.get, i64.not(PERMISSION));
      const early = rules.validate === "tooHard";
      const hardwareShift = at.word(hardware.get, HARDWARE.PAGE_SHIFT);
      if (rules.validate === "none") return success;
      return seq(
        when(i64.eqz(i64.and(tce.get, PERMISSION)), ret(success)),
        when(
          isSet(i64.and(address, i64.sub(i64.shl(one, shift), one))),
          ret(early ? this.#c.tooHard("misaligned") : parameter),
        ),
        early
          ? seq(
              user.set(this.#find.user(tce.get)),
              when(isNone(user.get), ret(this.#c.tooHard("outsideMemory"))),
              this.#eachLink(
                table.get,
                link,
                hardware,
                fan,
                seq(
                  region.set(this.#find.region(user.get, i64.shl(one, i64.extendU(hardwareShift)))),
                  when(i32.eqz(region.get), ret(this.#c.tooHard("notRegistered"))),
                  when(
                    i32.gtU(hardwareShift, at.word(region.get, REGION.PAGE_SHIFT)),
                    ret(this.#c.tooHard("notRegistered")),
                  ),
                ),
              ),
            )
          : seq(),
        success,
      );
    });
  }

  #put(validate: number): number {
    const { module, rules } = this.#c;
    return module.addFunction(["i64", "i64", "i64"], ["i32"], (f) => {
      const [liobn, ioba, tce] = [param64(0), param64(1), param64(2)];
      const [table, link, hardware, code] = [local32(f), local32(f), local32(f), local32(f)];
      const [index, permission, user, fan] = [local64(f), local64(f), local64(f), local64(f)];
      const first = i64.shl(index.get, fan.get);
      const count = i64.shl(one, fan.get);
      return seq(
        table.set(this.#find.table(liobn.get)),
        when(i32.eqz(table.get), ret(this.#c.tooHard("noTable"))),
        index.set(this.#find.index(table.get, ioba.get, one)),
        when(isNone(index.get), ret(parameter)),
        when(
          isSet(tce.get),
          when(i32.eqz(this.#view.present(table.get, index.get, one)), ret(this.#c.tooHard("missingLevel"))),
        ),
        permission.set(i64.and(tce.get, PERMISSION)),
        rules.validate === "none"
          ? seq()
          : when(
              isSet(permission.get),
              seq(
                code.set(call(validate, table.get, tce.get) as I32),
                when(code.get, ret(code.get)),
                user.set(this.#find.user(tce.get)),
                when(isNone(user.get), ret(parameter)),
              ),
            ),
        this.#eachLink(
          table.get,
          link,
          hardware,
          fan,
          seq(
            when(
              isSet(permission.get),
              code.set(this.#entries.map(hardware.get, first, count, user.get, permission.get)),
              code.set(this.#entries.unmap(hardware.get, first, count)),
            ),
            when(code.get, seq(this.#unlessGoesOn(code, ret(code.get)), this.#clear(hardware.get, index.get, fan.get))),
          ),
        ),
        this.#view.fill(table.get, index.get, one, tce.get),
        this.#c.countEntries(PUT, one),
        success,
      );
    });
  }

  /** Everything but a failure that is cleared and passed over. */
  #unlessGoesOn(code: Local<I32>, leave: Stmt): Stmt {
    return this.#c.rules.goesOn ? when(i32.eq(code.get, i32.const(H_TOO_HARD)), leave) : leave;
  }

  #indirect(validate: number): number {
    const { module, rules, imports } = this.#c;
    return module.addFunction(["i64", "i64", "i64", "i64"], ["i32"], (f) => {
      const [liobn, ioba, list, count] = [param64(0), param64(1), param64(2), param64(3)];
      const [table, link, hardware, code, from] = [local32(f), local32(f), local32(f), local32(f), local32(f)];
      const [index, done, tce, user, fan] = [local64(f), local64(f), local64(f), local64(f), local64(f)];
      const [out, pass] = [label("out"), label("pass")];
      const entry = i32.add(from.get, i32.shl(i32.wrap(done.get), i32.const(3)));
      const read = seq(tce.set(call(imports.load64, entry) as I64), swapBytes(tce));
      const end = (value: I32): Stmt => seq(code.set(value), br(out));
      const check = (leave: Stmt): Stmt =>
        seq(code.set(call(validate, table.get, tce.get) as I32), when(code.get, leave));
      const at = i64.add(index.get, done.get);
      const update = this.#eachLink(
        table.get,
        link,
        hardware,
        fan,
        seq(
          code.set(
            this.#entries.map(
              hardware.get,
              i64.shl(at, fan.get),
              i64.shl(one, fan.get),
              user.get,
              i64.and(tce.get, PERMISSION),
            ),
          ),
          // The old kernel's mistake: it clears the first entry of the call, not the one that failed.
          when(code.get, seq(this.#unlessGoesOn(code, br(out)), this.#clear(hardware.get, index.get, fan.get))),
        ),
      );
      return seq(
        table.set(this.#find.table(liobn.get)),
        when(i32.eqz(table.get), ret(this.#c.tooHard("noTable"))),
        when(i64.gtU(count.get, i64.const(TCE_LIST_ENTRIES)), ret(parameter)),
        when(isSet(i64.and(list.get, i64.const(0xfff))), ret(parameter)),
        index.set(this.#find.index(table.get, ioba.get, count.get)),
        when(isNone(index.get), ret(parameter)),
        when(i32.eqz(this.#view.present(table.get, index.get, count.get)), ret(this.#c.tooHard("missingLevel"))),
        when(isNone(this.#find.user(list.get)), ret(this.#c.tooHard("unreadableList"))),
        from.set(call(imports.ramAt, list.get, i32.shl(i32.wrap(count.get), i32.const(3))) as I32),
        when(i32.eqz(from.get), ret(this.#c.tooHard("unreadableList"))),
        block(
          out,
          rules.twoPasses
            ? seq(countedLoop(pass, done, count.get, seq(read, check(ret(code.get)))), done.set(i64.const(0)))
            : seq(),
          // Read anew: the guest's other CPUs may have changed it meanwhile, and what matters is checked anew too.
          countedLoop(
            label("entry"),
            done,
            count.get,
            seq(
              read,
              rules.twoPasses ? seq() : check(br(out)),
              user.set(this.#find.user(tce.get)),
              when(isNone(user.get), end(parameter)),
              update,
              this.#view.fill(table.get, at, one, tce.get),
            ),
          ),
        ),
        this.#c.countEntries(INDIRECT, done.get),
        code.get,
      );
    });
  }

  #stuff(): number {
    return this.#c.module.addFunction(["i64", "i64", "i64", "i64"], ["i32"], (f) => {
      const [liobn, ioba, value, count] = [param64(0), param64(1), param64(2), param64(3)];
      const [table, link, hardware, code, index, fan] = [
        local32(f),
        local32(f),
        local32(f),
        local32(f),
        local64(f),
        local64(f),
      ];
      return seq(
        table.set(this.#find.table(liobn.get)),
        when(i32.eqz(table.get), ret(this.#c.tooHard("noTable"))),
        index.set(this.#find.index(table.get, ioba.get, count.get)),
        when(isNone(index.get), ret(parameter)),
        when(isSet(i64.and(value.get, PERMISSION)), ret(parameter)),
        when(
          isSet(value.get),
          when(i32.eqz(this.#view.present(table.get, index.get, count.get)), ret(this.#c.tooHard("missingLevel"))),
        ),
        this.#eachLink(
          table.get,
          link,
          hardware,
          fan,
          seq(
            code.set(this.#entries.unmap(hardware.get, i64.shl(index.get, fan.get), i64.shl(count.get, fan.get))),
            when(code.get, ret(code.get)),
          ),
        ),
        this.#view.fill(table.get, index.get, count.get, value.get),
        this.#c.countEntries(STUFF, count.get),
        success,
      );
    });
  }

  #get(): number {
    return this.#c.module.addFunction(["i64", "i64"], ["i32", "i64"], (f) => {
      const [liobn, ioba] = [param64(0), param64(1)];
      const [table, index] = [local32(f), local64(f)];
      const nothing = i64.const(0);
      return seq(
        table.set(this.#find.table(liobn.get)),
        when(i32.eqz(table.get), ret(seq(this.#c.tooHard("noTable"), nothing))),
        index.set(this.#find.index(table.get, ioba.get, one)),
        when(isNone(index.get), ret(seq(parameter, nothing))),
        success,
        this.#view.read(table.get, index.get),
      );
    });
  }
}

/** `body` with `done` from its value on up to `count`. */
function countedLoop(again: Label, done: Local<I64>, count: I64, body: Stmt): Stmt {
  return loop(again, when(i64.ltU(done.get, count), seq(body, done.set(i64.add(done.get, one)), br(again))));
}

/** A big-endian number was read as a little-endian one. */
function swapBytes(value: Local<I64>): Stmt {
  const swap = (shift: number, mask: bigint): Stmt =>
    value.set(
      i64.or(
        i64.shl(i64.and(value.get, i64.const(mask)), i64.const(shift)),
        i64.and(i64.shrU(value.get, i64.const(shift)), i64.const(mask)),
      ),
    );
  return seq(
    swap(8, 0x00ff_00ff_00ff_00ffn),
    swap(16, 0x0000_ffff_0000_ffffn),
    value.set(i64.rotl(value.get, i64.const(32))),
  );
}
