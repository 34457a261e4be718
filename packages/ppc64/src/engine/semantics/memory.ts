// Loads, stores, byte-reversed and atomic accesses, dcbz. Little-endian storage. Power ISA 3.0B Book I 3.3.2 to 3.3.5,
// Book II 4.4 (dcbz), 4.6 (reservations). A register is written only after the access went through.

import type { I32, I64, Stmt } from "../../wasm/body.ts";
import { i32, i64, seq, when } from "../../wasm/ops.ts";
import { CR, RESERVATION, RESERVATION_SIZE, RESERVATION_VALUE, XER_SO } from "../layout.ts";
import { rtRa0Dq, rtRa0Ds, rtRa0Rb, rtRa0Si, rtRaDs, rtRaRb, rtRaSi } from "../layouts.ts";
import type { AccessBytes, Machine } from "../machine.ts";
import { loadBytes, storeBytes } from "../operands.ts";
import type { InstructionTable, Layout } from "../table.ts";

/** Bytes in a data cache block: what dcbz clears. The device tree must say the same. */
export const CACHE_BLOCK = 128;

const displaced = (m: Machine): I64 => i64.add(m.gpr("b"), m.imm);
const indexed = (m: Machine): I64 => i64.add(m.gpr("b"), m.gpr("c"));

interface Shape {
  readonly suffix: "" | "u" | "x" | "ux";
  readonly layout: Layout;
  readonly address: (m: Machine) => I64;
}

/** The four addressing forms; `ds` says that the displacement has two opcode bits below it. */
const shapes = (ds: boolean): Shape[] => [
  { suffix: "", layout: ds ? rtRa0Ds : rtRa0Si, address: displaced },
  { suffix: "u", layout: ds ? rtRaDs : rtRaSi, address: displaced },
  { suffix: "x", layout: rtRa0Rb, address: indexed },
  { suffix: "ux", layout: rtRaRb, address: indexed },
];

function plain(table: InstructionTable): void {
  const loads: [string, AccessBytes, boolean, boolean][] = [
    ["lbz", 1, false, false],
    ["lhz", 2, false, false],
    ["lha", 2, true, false],
    ["lwz", 4, false, false],
    ["lwa", 4, true, true],
    ["ld", 8, false, true],
  ];
  for (const [name, bytes, signed, ds] of loads) {
    for (const { suffix, layout, address } of shapes(ds)) {
      table.instruction(`${name}${suffix}`, "hot", layout, (m) => {
        if (!suffix.startsWith("u")) return m.setGpr("a", m.load(address(m), bytes, signed));
        // When RT = RA the form is invalid; the address wins then.
        const [ea, value] = [m.w[0], m.w[1]];
        return seq(
          ea.set(address(m)),
          value.set(m.load(ea.get, bytes, signed)),
          m.setGpr("a", value.get),
          m.setGpr("b", ea.get),
        );
      });
    }
  }
  const stores: [string, AccessBytes, boolean][] = [
    ["stb", 1, false],
    ["sth", 2, false],
    ["stw", 4, false],
    ["std", 8, true],
  ];
  for (const [name, bytes, ds] of stores) {
    for (const { suffix, layout, address } of shapes(ds)) {
      table.instruction(`${name}${suffix}`, "hot", layout, (m) => {
        if (!suffix.startsWith("u")) return m.store(address(m), bytes, m.gpr("a"));
        const ea = m.w[0];
        return seq(ea.set(address(m)), m.store(ea.get, bytes, m.gpr("a")), m.setGpr("b", ea.get));
      });
    }
  }
}

const swap16 = (x: I32): I32 =>
  i32.or(i32.and(i32.shrU(x, i32.const(8)), i32.const(0xff)), i32.shl(i32.and(x, i32.const(0xff)), i32.const(8)));
const swap32 = (x: I32): I32 =>
  i32.or(
    i32.and(i32.rotl(x, i32.const(8)), i32.const(0x00ff00ff)),
    i32.and(i32.rotl(x, i32.const(24)), i32.const(0xff00ff00 | 0)),
  );
const swapped = (m: Machine, value: I64, bytes: AccessBytes): I64 => {
  const x = m.w[1];
  const low = i32.wrap(x.get);
  const high = i32.wrap(i64.shrU(x.get, i64.const(32)));
  const whole = i64.or(i64.shl(i64.extendU(swap32(low)), i64.const(32)), i64.extendU(swap32(high)));
  const result = bytes === 2 ? i64.extendU(swap16(low)) : bytes === 4 ? i64.extendU(swap32(low)) : whole;
  return ((f) => seq(x.set(value), result)(f)) as I64;
};

function byteReversed(table: InstructionTable): void {
  for (const [letter, bytes] of [
    ["h", 2],
    ["w", 4],
    ["d", 8],
  ] as const) {
    table.instruction(`l${letter}brx`, "hot", rtRa0Rb, (m) =>
      m.setGpr("a", swapped(m, m.load(indexed(m), bytes, false), bytes)),
    );
    table.instruction(`st${letter}brx`, "hot", rtRa0Rb, (m) =>
      m.store(indexed(m), bytes, swapped(m, m.gpr("a"), bytes)),
    );
  }
}

const zero = i32.const(0);

/**
 * Load-and-reserve, store-conditional. A store succeeds when the reservation is for the same bytes and they still hold
 * what was loaded: a device that wrote in between is seen even though DMA does not pass through here.
 */
function atomics(table: InstructionTable): void {
  for (const [letter, bytes] of [
    ["b", 1],
    ["h", 2],
    ["w", 4],
    ["d", 8],
  ] as const) {
    const misaligned = (m: Machine): Stmt =>
      bytes === 1 ? seq() : when(i32.and(i32.wrap(m.w[0].get), i32.const(bytes - 1)), m.escape);
    table.instruction(`l${letter}arx`, "hot", rtRa0Rb, (m) => {
      const [ea, value] = m.w;
      const at = m.n[0];
      return seq(
        ea.set(indexed(m)),
        misaligned(m),
        at.set(m.host(ea.get, bytes, false)),
        value.set(loadBytes(bytes, false, at.get)),
        i32.store(zero, i32.add(at.get, i32.const(1)), RESERVATION),
        i32.store(zero, i32.const(bytes), RESERVATION_SIZE),
        i64.store(zero, value.get, RESERVATION_VALUE),
        m.setGpr("a", value.get),
      );
    });
    table.instruction(`st${letter}cx.`, "hot", rtRa0Rb, (m) => {
      const ea = m.w[0];
      const [at, success] = m.n;
      const reserved = i32.and(
        i32.eq(i32.load(zero, RESERVATION), i32.add(at.get, i32.const(1))),
        i32.eq(i32.load(zero, RESERVATION_SIZE), i32.const(bytes)),
      );
      return seq(
        ea.set(indexed(m)),
        misaligned(m),
        at.set(m.host(ea.get, bytes, true)),
        success.set(i32.and(reserved, i64.eq(i64.load(zero, RESERVATION_VALUE), loadBytes(bytes, false, at.get)))),
        when(success.get, storeBytes(bytes, at.get, m.gpr("a"))),
        i32.store(zero, zero, RESERVATION),
        m.setState8(CR, i32.or(i32.shl(success.get, i32.const(1)), m.state8(XER_SO))),
      );
    });
  }
}

/** Quadwords: an even register pair, high doubleword (at EA + 8) first; only aligned ones. */
function quadwords(table: InstructionTable): void {
  const pair = (register: number): number => register & ~15;
  const even =
    (layout: Layout): Layout =>
    (w, r, offset) => {
      layout(w, r, offset);
      r.a = pair(r.a);
    };
  const misaligned = (m: Machine): Stmt => when(i32.and(i32.wrap(m.w[0].get), i32.const(15)), m.escape);
  const second = (m: Machine): I32 => i32.add(m.operand("a"), i32.const(8));
  table.instruction("lq", "cold", even(rtRa0Dq), (m) => {
    const [ea, high] = m.w;
    const at = m.n[0];
    return seq(
      ea.set(displaced(m)),
      misaligned(m),
      at.set(m.host(ea.get, 16, false)),
      high.set(i64.load(at.get, 8)),
      m.setStateAt(second(m), i64.load(at.get)),
      m.setGpr("a", high.get),
    );
  });
  table.instruction("stq", "cold", even(rtRa0Ds), (m) => {
    const at = m.n[0];
    return seq(
      m.w[0].set(displaced(m)),
      misaligned(m),
      at.set(m.host(m.w[0].get, 16, true)),
      i64.store(at.get, m.stateAt(second(m))),
      i64.store(at.get, m.gpr("a"), 8),
    );
  });
}

export function memory(table: InstructionTable): void {
  plain(table);
  byteReversed(table);
  atomics(table);
  quadwords(table);
  table.instruction("dcbz", "hot", rtRa0Rb, (m) => {
    const at = m.n[0];
    const stores = Array.from({ length: CACHE_BLOCK / 8 }, (_, n) => i64.store(at.get, i64.const(0), 8 * n));
    const start = i64.and(indexed(m), i64.const(-CACHE_BLOCK));
    return seq(m.w[0].set(start), at.set(m.host(m.w[0].get, CACHE_BLOCK, true)), ...stores);
  });
}
