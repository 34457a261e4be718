import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FunctionBody, label } from "../src/wasm/body.ts";
import { signedLeb32, signedLeb64, unsignedLeb } from "../src/wasm/leb.ts";
import { ModuleBuilder } from "../src/wasm/module.ts";
import {
  block,
  br,
  brIf,
  brTable,
  i32,
  i64,
  local32,
  loop,
  memoryCopy,
  memoryFill,
  param32,
  param64,
  ret,
  select64,
  seq,
  when,
} from "../src/wasm/ops.ts";
import { instantiate, sharedMemory } from "../src/wasm/runtime.ts";

function decodeLeb(bytes: number[], signed: boolean): bigint {
  let value = 0n;
  bytes.forEach((byte, n) => {
    value |= BigInt(byte & 0x7f) << BigInt(7 * n);
    expect(byte >= 0x80).toBe(n < bytes.length - 1);
  });
  return signed ? BigInt.asIntN(7 * bytes.length, value) : value;
}

function build<Exports>(write: (module: ModuleBuilder) => void, env: object = {}): Exports {
  const module = new ModuleBuilder();
  write(module);
  return instantiate<Exports>(module.bytes(), env);
}

describe("ppc64 wasm emitter", () => {
  it("codes integers as LEB128 that decodes to the same number", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => {
        const out: number[] = [];
        unsignedLeb(out, value);
        expect(decodeLeb(out, false)).toBe(BigInt(value));
      }),
    );
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const out: number[] = [];
        signedLeb32(out, value);
        expect(decodeLeb(out, true)).toBe(BigInt(value));
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
        const out: number[] = [];
        signedLeb64(out, value);
        expect(decodeLeb(out, true)).toBe(value);
      }),
    );
  });

  it("computes 64-bit expressions as BigInt does", () => {
    const { f } = build<{ f(x: bigint, y: bigint): bigint }>((module) => {
      const [x, y] = [param64(0).get, param64(1).get];
      const sum = i64.add(i64.mul(x, i64.const(-7)), i64.rotl(y, i64.const(13)));
      const code = select64(i64.ltU(x, y), sum, i64.not(sum));
      module.addFunction(["i64", "i64"], ["i64"], () => code, "f");
    });
    const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    fc.assert(
      fc.property(u64, u64, (x, y) => {
        const rotated = ((y << 13n) | (y >> 51n)) & ((1n << 64n) - 1n);
        const sum = BigInt.asIntN(64, x * -7n + rotated);
        expect(f(x, y)).toBe(x < y ? sum : BigInt.asIntN(64, ~sum));
      }),
    );
  });

  it("branches to labels from any depth", () => {
    const { pick, sum } = build<{ pick(n: number): number; sum(n: number): number }>((module) => {
      const [zero, one, other] = [label("zero"), label("one"), label("other")];
      const answer = (n: number) => ret(i32.const(n));
      const code = seq(
        block(other, block(one, block(zero, brTable(param32(0).get, [zero, one], other)), answer(10)), answer(11)),
        i32.const(12),
      );
      module.addFunction(["i32"], ["i32"], () => code, "pick");
      module.addFunction(
        ["i32"],
        ["i32"],
        (f) => {
          const total = local32(f);
          const n = param32(0);
          const [again, done] = [label("again"), label("done")];
          return seq(
            block(
              done,
              loop(
                again,
                brIf(done, i32.eqz(n.get)),
                total.set(i32.add(total.get, n.get)),
                n.set(i32.sub(n.get, i32.const(1))),
                when(i32.gtS(total.get, i32.const(1000)), br(done), br(again)),
              ),
            ),
            total.get,
          );
        },
        "sum",
      );
    });
    expect([0, 1, 2, 99].map(pick)).toEqual([10, 11, 12, 12]);
    expect(sum(10)).toBe(55);
    expect(sum(100_000)).toBeGreaterThan(1000);
  });

  it("works on an imported shared memory", () => {
    const memory = sharedMemory(65536);
    const { run } = build<{ run(at: number): void }>(
      (module) => {
        module.importSharedMemory("env", "memory", 65536);
        const at = param32(0).get;
        const code = seq(
          memoryFill(at, i32.const(0xab), i32.const(8)),
          memoryCopy(i32.add(at, i32.const(8)), at, i32.const(4)),
          i64.store16(at, i64.const(0x1234), 14),
        );
        module.addFunction(["i32"], [], () => code, "run");
      },
      { memory },
    );
    run(64);
    const bytes = [...new Uint8Array(memory.buffer, 64, 16)];
    expect(bytes).toEqual([...Array(12).fill(0xab), 0, 0, 0x34, 0x12]);
  });

  it("refuses a branch to a label that is not open, and imports after functions", () => {
    const body = new FunctionBody([], []);
    expect(() => br(label("elsewhere"))(body)).toThrow(/"elsewhere" is not open/);
    const module = new ModuleBuilder();
    module.addFunction([], [], () => seq());
    expect(() => module.importFunction("env", "late", [], [])).toThrow(/imports come before/);
  });
});
