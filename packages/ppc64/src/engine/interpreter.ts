// The interpreter: one Wasm module made from the instruction table.
//   run()      executes predecoded records until an event is due or an instruction leaves (returns a Step value)
//   step(ip)   executes one record that is rare, or whose memory access missed the soft TLB, with accesses that call out
// Instructions are counted at taken branches only: `quota` is chosen so that quota - ip is what is left, whatever ip is;
// going straight on needs no arithmetic, a jump moves quota along with ip. LEFT and PC are written when run() calls out.

import { type FunctionBody, type I32, type I64, type Label, label, type Stmt } from "../wasm/body.ts";
import { ModuleBuilder } from "../wasm/module.ts";
import {
  after,
  block,
  br,
  brIf,
  brTable,
  call,
  callIndirect,
  i32,
  i64,
  type Local,
  left32,
  left64,
  local32,
  local64,
  loop,
  param32,
  ret,
  seq,
  when,
} from "../wasm/ops.ts";
import type { FunctionTable, WasmMemory } from "../wasm/runtime.ts";
import { addGather } from "./gather-code.ts";
import { addGuestMemory, addHelpers, addMemoryTools, type Helpers } from "./helpers.ts";
import {
  CODE_TLB,
  CODE_TLB_ENTRIES,
  COMPILED,
  COMPLETED,
  DATA_TLB,
  END_TIME,
  GATHER_ON,
  gprOffset,
  LEFT,
  PC,
  RECORD_BYTES,
  SCRATCH,
  STATUS,
  Step,
  TLB_ENTRIES,
  WRITE_TLB,
} from "./layout.ts";
import type { Machine } from "./machine.ts";
import { loadBytes, recordOperands, storeBytes } from "./operands.ts";
import type { Handler, InstructionTable } from "./table.ts";

/** What the interpreter asks of the TypeScript side. Addresses come as two i32 halves; results are Step values. */
export interface Environment {
  readonly memory: WasmMemory;
  /** Compiled code for hypercalls (see compiled-hypercalls.ts), called when COMPILED is set. */
  readonly compiled: FunctionTable;
  /** Code TLB miss at PC: fill it (next) or raise an interrupt (resync). */
  fetch(): number;
  /** Decode the record at this address. */
  decode(ip: number): void;
  /** Carry out an instruction that changes the context, or raise its interrupt. */
  system(ip: number): number;
  /** An access outside of the soft TLB; its value is exchanged through SCRATCH. */
  load(low: number, high: number, bytes: number): number;
  store(low: number, high: number, bytes: number): number;
  /** Wasm address for an access that must not be split, or 0 with STATUS set. */
  touch(low: number, high: number, bytes: number, write: number): number;
}

/** What the module exports. Addresses and lengths are bytes. */
export interface InterpreterExports {
  /**
   * Returns Step.next when LEFT ran out, Step.exit when an import asked to leave, Step.done when a store has filled a line:
   * that store is not behind PC yet.
   */
  run(): number;
  /** Executes one record without looking at events or counting it; Step.next or Step.done when it is done, PC unchanged. */
  step(ip: number): number;
  fill(address: number, value: number, length: number): void;
  copy(to: number, from: number, length: number): void;
  /** 1 when both ranges hold the same bytes; the length is a multiple of 8. */
  same(x: number, y: number, length: number): number;
  /** For compiled code: address of guest RAM, or 0; eight bytes there. */
  readonly ramAt: object;
  readonly load64: object;
}

interface Imports {
  readonly fetch: number;
  readonly decode: number;
  readonly system: number;
  readonly load: number;
  readonly store: number;
  readonly touch: number;
}

/** r3 to r7 go in; out come whether the call was answered, and then r3 and r4. */
const COMPILED_PARAMS = ["i64", "i64", "i64", "i64", "i64"] as const;
const COMPILED_RESULTS = ["i32", "i64", "i64"] as const;

const PAGE_MASK = i64.const(-4096);
const zero = i32.const(0);
const highHalf = (value: I64): I32 => i32.wrap(i64.shrU(value, i64.const(32)));
const timeBefore = (left: I32): I64 => i64.sub(i64.load(zero, END_TIME), i64.extendS(i32.shrS(left, i32.const(4))));

export function interpreterModule(table: InstructionTable, memoryBytes: number): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importSharedMemory("env", "memory", memoryBytes);
  module.importTable("env", "compiled", 1);
  const two = ["i32", "i32"] as const;
  const imports: Imports = {
    fetch: module.importFunction("env", "fetch", [], ["i32"]),
    decode: module.importFunction("env", "decode", ["i32"], []),
    system: module.importFunction("env", "system", ["i32"], ["i32"]),
    load: module.importFunction("env", "load", [...two, "i32"], ["i32"]),
    store: module.importFunction("env", "store", [...two, "i32"], ["i32"]),
    touch: module.importFunction("env", "touch", [...two, ...two], ["i32"]),
  };
  const helpers = addHelpers(module);
  const ask = addAsk(module);
  const gather = addGather(module, imports.store);
  const step = module.addFunction(["i32"], ["i32"], (f) => stepFunction(f, table, imports, helpers, gather), "step");
  module.addFunction([], ["i32"], (f) => runFunction(f, table, imports, helpers, { step, ask }), "run");
  addMemoryTools(module);
  addGuestMemory(module);
  return module.bytes();
}

/** br_table over the handlers: innermost the jump, then each handler's code behind the block that names it. */
function dispatch(ip: Local<I32>, handlers: readonly (Stmt | null)[], otherwise: Label): Stmt {
  const labels = handlers.map((_, n) => label(`handler ${n}`));
  const targets = labels.map((target, n) => (handlers[n] === null ? otherwise : target));
  let code: Stmt = brTable(i32.load16u(ip.get), targets, otherwise);
  handlers.forEach((handler, n) => {
    if (handler !== null) code = seq(block(labels[n]!, code), handler);
  });
  return code;
}

function stepFunction(
  f: FunctionBody,
  table: InstructionTable,
  imports: Imports,
  helpers: Helpers,
  gather: number,
): Stmt {
  const ip = param32(0);
  const [ea, status] = [local64(f), local32(f)];
  const operands = recordOperands(f, ip, helpers);
  const unless = (result: Stmt): Stmt => seq(status.set(result as I32), when(status.get, ret(status.get)));
  const machine: Machine = {
    ...operands,
    pc: i64.load(zero, PC),
    time: timeBefore(i32.load(zero, LEFT)),
    escape: ret(call(imports.system, ip.get)),
    load: (address, bytes, signed) =>
      after(
        seq(ea.set(address), unless(call(imports.load, i32.wrap(ea.get), highHalf(ea.get), i32.const(bytes)))),
        loadBytes(bytes, signed, zero, SCRATCH),
      ),
    store: (address, bytes, value) =>
      seq(
        ea.set(address),
        i64.store(zero, value, SCRATCH),
        when(
          i32.load(zero, GATHER_ON),
          unless(call(gather, ea.get, i32.const(bytes))),
          unless(call(imports.store, i32.wrap(ea.get), highHalf(ea.get), i32.const(bytes))),
        ),
      ),
    host: (address, bytes, write) =>
      after(
        seq(
          ea.set(address),
          status.set(
            call(imports.touch, i32.wrap(ea.get), highHalf(ea.get), i32.const(bytes), i32.const(write ? 1 : 0)) as I32,
          ),
          when(i32.eqz(status.get), ret(i32.load(zero, STATUS))),
        ),
        status.get,
      ),
    hypercall: seq(),
    jumpInPage: seq(),
    jump: () => seq(),
    leavePage: seq(),
  };
  const other = label("other");
  const code = (handler: Handler): Stmt | null =>
    handler.branch ? null : seq(handler.emit(machine), ret(i32.load(zero, COMPLETED)));
  return seq(block(other, dispatch(ip, table.handlers.map(code), other)), call(imports.system, ip.get));
}

/**
 * Asks compiled code for the hypercall in r3 to r7; 1 when it was answered, with r3 and r4 replaced. A function of its own:
 * with the indirect call inside, the compiler spills what `run` keeps in registers, and every memory loop pays for it.
 */
function addAsk(module: ModuleBuilder): number {
  const compiled = module.typeOf(COMPILED_PARAMS, COMPILED_RESULTS);
  return module.addFunction([], ["i32"], (f) => {
    const [r3, r4, answered] = [local64(f), local64(f), local32(f)];
    const gpr = (number: number): I64 => i64.load(zero, gprOffset(number));
    return seq(
      callIndirect(compiled, zero, gpr(3), gpr(4), gpr(5), gpr(6), gpr(7)),
      r4.set(left64),
      r3.set(left64),
      answered.set(left32),
      when(answered.get, seq(i64.store(zero, r3.get, gprOffset(3)), i64.store(zero, r4.get, gprOffset(4)))),
      answered.get,
    );
  });
}

/** Functions of the module that `run` calls. */
interface Own {
  readonly step: number;
  readonly ask: number;
}

function runFunction(f: FunctionBody, table: InstructionTable, imports: Imports, helpers: Helpers, own: Own): Stmt {
  const [ip, quota, tlb, entry, left, status] = [
    local32(f),
    local32(f),
    local32(f),
    local32(f),
    local32(f),
    local32(f),
  ];
  const [bias, ea, target] = [local64(f), local64(f), local64(f)];
  const [resync, go, next, slow] = [label("resync"), label("go"), label("next"), label("slow")];
  const pc = i64.add(bias.get, i64.extendU(i32.shrU(ip.get, i32.const(2))));
  const remaining = i32.sub(quota.get, ip.get);
  const advance = seq(ip.set(i32.add(ip.get, i32.const(RECORD_BYTES))), br(next));
  const leave = (to: I64, remains: I32): Stmt => seq(target.set(to), left.set(remains), br(go));

  // Tag compare against the page of the last byte: an access that crosses a page misses.
  const probe = (address: I64, bytes: number, write: boolean): Stmt => {
    const index = i32.and(i32.shrU(i32.wrap(ea.get), i32.const(8)), i32.const((TLB_ENTRIES - 1) * 16));
    const last = bytes === 1 ? ea.get : i64.add(ea.get, i64.const(bytes - 1));
    return seq(
      ea.set(address),
      entry.set(i32.add(tlb.get, index)),
      brIf(slow, i64.ne(i64.load(entry.get, write ? WRITE_TLB : 0), i64.and(last, PAGE_MASK))),
    );
  };
  const translated = (write: boolean): I32 =>
    i32.add(i32.wrap(ea.get), i32.load(entry.get, (write ? WRITE_TLB : 0) + 8));
  const common = recordOperands(f, ip, helpers);
  const machine: Machine = {
    ...common,
    pc,
    time: timeBefore(remaining),
    escape: br(slow),
    load: (address, bytes, signed) => after(probe(address, bytes, false), loadBytes(bytes, signed, translated(false))),
    store: (address, bytes, value) => seq(probe(address, bytes, true), storeBytes(bytes, translated(true), value)),
    host: (address, bytes, write) => after(probe(address, bytes, write), translated(write)),
    hypercall: seq(brIf(slow, i32.eqz(i32.load(zero, COMPILED))), brIf(slow, i32.eqz(call(own.ask) as I32))),
    jumpInPage: seq(
      quota.set(i32.add(quota.get, i32.sub(i32.load(ip.get, 8), i32.const(RECORD_BYTES)))),
      ip.set(i32.add(ip.get, i32.load(ip.get, 8))),
      brIf(next, i32.gtS(quota.get, ip.get)),
      leave(pc, remaining),
    ),
    jump: (to) => leave(to, i32.sub(remaining, i32.const(RECORD_BYTES))),
    leavePage: leave(pc, remaining),
  };
  const handlers = table.handlers
    .filter((handler) => handler.hot)
    .map((handler) =>
      handler.name === "undecoded" ? seq(call(imports.decode, ip.get), br(next)) : seq(handler.emit(machine), advance),
    );

  const spill = (at: I64, remains: I32): Stmt => seq(i64.store(zero, at, PC), i32.store(zero, remains, LEFT));
  const outcome = (code: Stmt, proceed: Stmt): Stmt =>
    seq(
      status.set(code as I32),
      when(i32.eqz(status.get), proceed),
      brIf(resync, i32.eq(status.get, i32.const(Step.resync))),
      ret(status.get),
    );
  const page = i64.and(target.get, PAGE_MASK);
  const codeIndex = i32.and(i32.shrU(i32.wrap(target.get), i32.const(8)), i32.const((CODE_TLB_ENTRIES - 1) * 16));
  const enter = seq(
    when(i32.leS(left.get, zero), seq(spill(target.get, left.get), ret(i32.const(Step.next)))),
    entry.set(i32.add(i32.load(zero, CODE_TLB), codeIndex)),
    when(i64.ne(i64.load(entry.get), page), seq(spill(target.get, left.get), outcome(call(imports.fetch), br(go)))),
    entry.set(i32.load(entry.get, 8)),
    ip.set(i32.add(entry.get, i32.shl(i32.and(i32.wrap(target.get), i32.const(0xffc)), i32.const(2)))),
    bias.set(i64.sub(page, i64.extendU(i32.shrU(entry.get, i32.const(2))))),
    quota.set(i32.add(left.get, ip.get)),
  );
  return seq(
    loop(
      resync,
      tlb.set(i32.load(zero, DATA_TLB)),
      left.set(i32.load(zero, LEFT)),
      target.set(i64.load(zero, PC)),
      loop(
        go,
        enter,
        loop(
          next,
          block(slow, dispatch(ip, handlers, slow)),
          spill(pc, remaining),
          outcome(call(own.step, ip.get), advance),
        ),
      ),
    ),
    i32.const(Step.next),
  );
}
