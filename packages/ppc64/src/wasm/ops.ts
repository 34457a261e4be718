// Typed expression builders: `i64.add(a, b)` is a closure that emits a, b and the opcode, so instruction semantics
// read like formulas and the type checker keeps i32 and i64 apart. Opcodes: WebAssembly core specification, 5.4.

import type { FunctionBody, I32, I64, Label, Stmt, ValueType } from "./body.ts";
import { signedLeb32, signedLeb64 } from "./leb.ts";

const op2 =
  <A, B, R>(opcode: number) =>
  (a: A & Stmt, b: B & Stmt): R & Stmt =>
    ((f: FunctionBody) => {
      a(f);
      b(f);
      f.byte(opcode);
    }) as R & Stmt;
const op1 =
  <A, R>(...opcode: number[]) =>
  (a: A & Stmt): R & Stmt =>
    ((f: FunctionBody) => {
      a(f);
      f.byte(...opcode);
    }) as R & Stmt;
// Alignment hint 0: guest accesses are not aligned as a rule, and V8 ignores the hint.
const load =
  <R>(opcode: number) =>
  (address: I32, offset = 0): R & Stmt =>
    ((f: FunctionBody) => {
      address(f);
      f.byte(opcode, 0);
      f.uleb(offset);
    }) as R & Stmt;
const store =
  <V>(opcode: number) =>
  (address: I32, value: V & Stmt, offset = 0): Stmt =>
  (f) => {
    address(f);
    value(f);
    f.byte(opcode, 0);
    f.uleb(offset);
  };

const bin32 = op2<I32, I32, I32>;
const bin64 = op2<I64, I64, I64>;
const cmp64 = op2<I64, I64, I32>;

export const i32 = {
  const:
    (value: number): I32 =>
    (f) => {
      f.byte(0x41);
      signedLeb32(f.bytes, value);
    },
  load: load<I32>(0x28),
  load8u: load<I32>(0x2d),
  load16u: load<I32>(0x2f),
  store: store<I32>(0x36),
  store8: store<I32>(0x3a),
  store16: store<I32>(0x3b),
  eqz: op1<I32, I32>(0x45),
  eq: bin32(0x46),
  ne: bin32(0x47),
  ltS: bin32(0x48),
  ltU: bin32(0x49),
  gtS: bin32(0x4a),
  gtU: bin32(0x4b),
  leS: bin32(0x4c),
  leU: bin32(0x4d),
  geS: bin32(0x4e),
  geU: bin32(0x4f),
  clz: op1<I32, I32>(0x67),
  ctz: op1<I32, I32>(0x68),
  popcnt: op1<I32, I32>(0x69),
  add: bin32(0x6a),
  sub: bin32(0x6b),
  mul: bin32(0x6c),
  divS: bin32(0x6d),
  divU: bin32(0x6e),
  remS: bin32(0x6f),
  remU: bin32(0x70),
  and: bin32(0x71),
  or: bin32(0x72),
  xor: bin32(0x73),
  shl: bin32(0x74),
  shrS: bin32(0x75),
  shrU: bin32(0x76),
  rotl: bin32(0x77),
  wrap: op1<I64, I32>(0xa7),
} as const;

export const i64 = {
  const:
    (value: bigint | number): I64 =>
    (f) => {
      f.byte(0x42);
      signedLeb64(f.bytes, BigInt(value));
    },
  load: load<I64>(0x29),
  load8s: load<I64>(0x30),
  load8u: load<I64>(0x31),
  load16s: load<I64>(0x32),
  load16u: load<I64>(0x33),
  load32s: load<I64>(0x34),
  load32u: load<I64>(0x35),
  store: store<I64>(0x37),
  store8: store<I64>(0x3c),
  store16: store<I64>(0x3d),
  store32: store<I64>(0x3e),
  eqz: op1<I64, I32>(0x50),
  eq: cmp64(0x51),
  ne: cmp64(0x52),
  ltS: cmp64(0x53),
  ltU: cmp64(0x54),
  gtS: cmp64(0x55),
  gtU: cmp64(0x56),
  leS: cmp64(0x57),
  leU: cmp64(0x58),
  geS: cmp64(0x59),
  geU: cmp64(0x5a),
  clz: op1<I64, I64>(0x79),
  ctz: op1<I64, I64>(0x7a),
  popcnt: op1<I64, I64>(0x7b),
  add: bin64(0x7c),
  sub: bin64(0x7d),
  mul: bin64(0x7e),
  divS: bin64(0x7f),
  divU: bin64(0x80),
  remS: bin64(0x81),
  remU: bin64(0x82),
  and: bin64(0x83),
  or: bin64(0x84),
  xor: bin64(0x85),
  shl: bin64(0x86),
  shrS: bin64(0x87),
  shrU: bin64(0x88),
  rotl: bin64(0x89),
  extendS: op1<I32, I64>(0xac),
  extendU: op1<I32, I64>(0xad),
  extend8s: op1<I64, I64>(0xc2),
  extend16s: op1<I64, I64>(0xc3),
  extend32s: op1<I64, I64>(0xc4),
  not: (a: I64): I64 => i64.xor(a, i64.const(-1)),
} as const;

/** A local variable of the function that is being written. */
export interface Local<E extends Stmt> {
  readonly get: E;
  set(value: E): Stmt;
  tee(value: E): E;
}

function localAt<E extends Stmt>(index: number): Local<E> {
  const access =
    (opcode: number, value?: E): Stmt =>
    (f) => {
      value?.(f);
      f.byte(opcode);
      f.uleb(index);
    };
  return {
    get: access(0x20) as E,
    set: (value) => access(0x21, value),
    tee: (value) => access(0x22, value) as E,
  };
}

export const param32 = (index: number): Local<I32> => localAt<I32>(index);
export const param64 = (index: number): Local<I64> => localAt<I64>(index);
export const local32 = (f: FunctionBody): Local<I32> => localAt<I32>(f.addLocal("i32"));
export const local64 = (f: FunctionBody): Local<I64> => localAt<I64>(f.addLocal("i64"));

/** One statement after the other. */
export const seq =
  (...statements: Stmt[]): Stmt =>
  (f) => {
    for (const statement of statements) statement(f);
  };

export const block =
  (target: Label, ...inside: Stmt[]): Stmt =>
  (f) =>
    f.nest(0x02, target, () => seq(...inside)(f));

export const loop =
  (target: Label, ...inside: Stmt[]): Stmt =>
  (f) =>
    f.nest(0x03, target, () => seq(...inside)(f));

export const br =
  (target: Label): Stmt =>
  (f) => {
    f.byte(0x0c);
    f.uleb(f.depthOf(target));
  };

export const brIf =
  (target: Label, condition: I32): Stmt =>
  (f) => {
    condition(f);
    f.byte(0x0d);
    f.uleb(f.depthOf(target));
  };

/** Jump to `targets[index]`, or to `otherwise` when the index is past the end. */
export const brTable =
  (index: I32, targets: readonly Label[], otherwise: Label): Stmt =>
  (f) => {
    index(f);
    f.byte(0x0e);
    f.uleb(targets.length);
    for (const target of targets) f.uleb(f.depthOf(target));
    f.uleb(f.depthOf(otherwise));
  };

/** `if` without a result; the else part is left out when not given. */
export const when =
  (condition: I32, then: Stmt, otherwise?: Stmt): Stmt =>
  (f) => {
    condition(f);
    f.nest(0x04, null, () => {
      then(f);
      if (otherwise !== undefined) {
        f.byte(0x05);
        otherwise(f);
      }
    });
  };

export const ret =
  (value: Stmt): Stmt =>
  (f) => {
    value(f);
    f.byte(0x0f);
  };

const pick =
  <E extends Stmt>() =>
  (condition: I32, yes: E, no: E): E =>
    ((f: FunctionBody) => {
      yes(f);
      no(f);
      condition(f);
      f.byte(0x1b);
    }) as E;

/** `condition ? yes : no`; both sides are evaluated. */
export const select32 = pick<I32>();
export const select64 = pick<I64>();

/** A call of function `index`; what it leaves is what the callee's type says. */
export const call =
  (index: number, ...args: Stmt[]): Stmt =>
  (f) => {
    for (const arg of args) arg(f);
    f.byte(0x10);
    f.uleb(index);
  };

/** A call of the function at `index` of the imported table; a trap unless it has exactly this type. */
export const callIndirect =
  (type: number, index: I32, ...args: Stmt[]): Stmt =>
  (f) => {
    for (const arg of args) arg(f);
    index(f);
    f.byte(0x11);
    f.uleb(type);
    f.byte(0x00);
  };

/** What a call left on the operand stack, topmost first: for Local.set() behind it. */
export const left32: I32 = () => {};
export const left64: I64 = () => {};

const bulk =
  (...opcode: number[]) =>
  (x: I32, y: I32, length: I32): Stmt =>
  (f) => {
    x(f);
    y(f);
    length(f);
    f.byte(...opcode);
  };

/** memory.copy(to, from, length) and memory.fill(at, byte, length). */
export const memoryCopy = bulk(0xfc, 0x0a, 0x00, 0x00);
export const memoryFill = bulk(0xfc, 0x0b, 0x00);

/** Evaluate statements, then leave the value: a block expression. */
export const after = <E extends Stmt>(first: Stmt, value: E): E =>
  ((f: FunctionBody) => {
    first(f);
    value(f);
  }) as E;

export type { ValueType };
