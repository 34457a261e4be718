// Hypercalls that compiled code answers: a module made with the same emitter, which sees r3 to r7 and guest RAM.
import { describe, expect, it } from "vitest";
import { r3, r4, r5, r10 } from "../src/asm/index.ts";
import { ExitReason } from "../src/index.ts";
import { call, i32, i64, instantiate, ModuleBuilder, param64, ret, type Stmt, seq, when } from "../src/wasm/index.ts";
import { Guest, RAM_BYTES, REAL, USER } from "./support/guest.ts";

const CODE = 0x1_0000;
const PARAMS = ["i64", "i64", "i64", "i64", "i64"] as const;
const [token, first, second] = [param64(0), param64(1), param64(2)];
const answer = (r3: Stmt, r4: Stmt): Stmt => ret(seq(i32.const(1), r3, r4));
const refuse = seq(i32.const(0), i64.const(-1), i64.const(-1));

/** 4: the sum of r4 and r5. 8: the eight bytes of RAM at r4, when there are r5 bytes. Nothing else. */
function use(guest: Guest): void {
  const { compiled } = guest.cpu;
  const module = new ModuleBuilder();
  const ramAt = module.importFunction("env", "ramAt", ["i64", "i32"], ["i32"]);
  const load64 = module.importFunction("env", "load64", ["i32"], ["i64"]);
  const at = call(ramAt, first.get, i32.wrap(second.get));
  module.addFunction(
    PARAMS,
    ["i32", "i64", "i64"],
    () =>
      seq(
        when(i64.eq(token.get, i64.const(4)), answer(i64.add(first.get, second.get), i64.const(44))),
        when(i64.eq(token.get, i64.const(8)), when(at, answer(call(load64, at), first.get))),
        refuse,
      ),
    "answer",
  );
  compiled.use(instantiate<{ answer: object }>(module.bytes(), compiled.imports).answer);
}

describe("ppc64 engine: hypercalls of compiled code", () => {
  it("go on in the same straight line, counted as one instruction each", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.li(r3, 4);
      a.li(r4, 30);
      a.li(r5, 12);
      a.sc(1);
      a.mr(r10, r3);
      a.li(r3, 99);
      a.sc(1);
    });
    use(guest);
    let asked = 0;
    guest.cpu.hypercallInside = () => ++asked < 0;
    guest.start(CODE, REAL);
    expect(guest.stop()).toBe(BigInt(CODE) + 24n);
    expect([guest.get(10), guest.get(3), guest.get(4), asked]).toEqual([42n, 99n, 44n, 1]);
    expect(guest.cpu.retired).toBe(7);
    guest.cpu.compiled.use(null);
    guest.start(CODE, REAL);
    expect(guest.stop()).toBe(BigInt(CODE) + 12n);
  });

  it("read RAM in place, and nothing beside it", () => {
    const guest = new Guest();
    use(guest);
    guest.code(CODE, (a) => a.sc(1));
    guest.ram.setBigUint64(0x2_0000, 0x1122n, true);
    guest.ram.setBigUint64(RAM_BYTES - 8, 0x3344n, true);
    const read = (at: bigint, bytes = 8n) => {
      guest.start(CODE, REAL);
      for (const [n, value] of [8n, at, bytes].entries()) guest.set(3 + n, value);
      const reason = guest.cpu.run(1);
      return reason === ExitReason.budget ? guest.get(3) : null;
    };
    expect([read(0x2_0000n), read(BigInt(RAM_BYTES - 8))]).toEqual([0x1122n, 0x3344n]);
    for (const at of [BigInt(RAM_BYTES - 7), BigInt(RAM_BYTES), -1n, -8n, 1n << 32n, (1n << 63n) + 8n]) {
      expect(read(at), `${at}`).toBe(null);
    }
    expect([read(0x2_0000n, 0xffff_ffffn), read(0n, BigInt(RAM_BYTES))]).toEqual([null, 0n]);
    guest.cpu.setRamLimit(0x2_0000);
    expect([read(0x2_0000n), read(0x1_fff8n)]).toEqual([null, 0n]);
  });

  it("are not asked from problem state", () => {
    const guest = new Guest();
    use(guest);
    const root = guest.process(1);
    guest.cpu.setSpr(48, 1n);
    guest.map(root, 0x1_0000n, CODE, 5n);
    guest.code(CODE, (a) => a.sc(1));
    guest.code(0x700, (a) => {
      a.mr(r10, r3);
      a.li(r3, 99);
      a.sc(1);
    });
    guest.start(CODE, USER);
    guest.set(3, 4n);
    expect(guest.stop()).toBe(0x708n);
    expect(guest.get(10)).toBe(4n);
  });
});
