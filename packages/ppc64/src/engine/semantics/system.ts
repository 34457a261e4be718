// Special-purpose registers, MSR, traps, and the way out for everything that changes the machine's context: those
// instructions are carried out by system.ts on the TypeScript side. Power ISA 3.0B Book I 3.3.11, 3.3.17, Book III 4.4.

import type { I32, I64 } from "../../wasm/body.ts";
import { i32, i64, seq, when } from "../../wasm/ops.ts";
import { MSR_PR } from "../bits.ts";
import { MSR, sprOffset, XER_CA, XER_CA32, XER_COUNT, XER_OV, XER_OV32, XER_SO } from "../layout.ts";
import { noOperands, rtOnly, toRaRb, toRaSi } from "../layouts.ts";
import type { Machine } from "../machine.ts";
import { isReadOnlySpr, sprAccess, sprHome } from "../sprs.ts";
import type { Handler, InstructionTable, Layout, RecordFields } from "../table.ts";

/** XER bit positions (from the least significant) and their homes. */
const XER_BITS = [
  [31, XER_SO],
  [30, XER_OV],
  [29, XER_CA],
  [19, XER_OV32],
  [18, XER_CA32],
] as const;

const problemState = (m: Machine): I32 => i32.and(i32.wrap(m.state64(MSR)), i32.const(MSR_PR));

function specialRegisters(table: InstructionTable, system: Handler): void {
  const open = {
    read: table.handler("mfspr", "hot", (m) => m.setGpr("a", m.stateAt(m.imm32))),
    write: table.handler("mtspr", "hot", (m) => m.setStateAt(m.imm32, m.gpr("a"))),
  };
  const guarded = {
    read: table.handler("mfspr.privileged", "hot", (m) =>
      seq(when(problemState(m), m.escape), m.setGpr("a", m.stateAt(m.imm32))),
    ),
    write: table.handler("mtspr.privileged", "hot", (m) =>
      seq(when(problemState(m), m.escape), m.setStateAt(m.imm32, m.gpr("a"))),
    ),
  };
  const time = table.handler("mftb", "hot", (m) => m.setGpr("a", m.time));
  const timeUpper = table.handler("mftbu", "cold", (m) => m.setGpr("a", i64.shrU(m.time, i64.const(32))));
  const readXer = table.handler("mfxer", "cold", (m) => {
    let word: I32 = m.state8(XER_COUNT);
    for (const [bit, home] of XER_BITS) word = i32.or(word, i32.shl(m.state8(home), i32.const(bit)));
    return m.setGpr("a", i64.extendU(word));
  });
  const writeXer = table.handler("mtxer", "cold", (m) => {
    const low = (): I32 => i32.wrap(m.gpr("a"));
    const bit = (n: number): I32 => i32.and(i32.shrU(low(), i32.const(n)), i32.const(1));
    return seq(
      ...XER_BITS.map(([n, home]) => m.setState8(home, bit(n))),
      m.setState8(XER_COUNT, i32.and(low(), i32.const(0x7f))),
    );
  });
  const spr = (word: number, r: RecordFields): number => {
    const n = ((word >>> 16) & 31) | ((word >>> 6) & 0x3e0);
    rtOnly(word, r, 0);
    r.immLo = sprOffset(sprHome(n));
    r.immHi = 0;
    return n;
  };
  const byAccess = (n: number, way: "read" | "write"): Handler => {
    const access = sprAccess(n);
    return access === "open" ? open[way] : access === "privileged" ? guarded[way] : system;
  };
  const read = (word: number, r: RecordFields): Handler => {
    const n = spr(word, r);
    const access = sprAccess(n);
    if (access === "xer") return readXer;
    if (access === "time") return time;
    if (access === "timeUpper") return timeUpper;
    return byAccess(n, "read");
  };
  table.choice("mfspr", read);
  table.choice("mftb", read);
  table.choice("mtspr", (word, r) => {
    const n = spr(word, r);
    if (sprAccess(n) === "xer") return writeXer;
    return isReadOnlySpr(n) ? system : byAccess(n, "write");
  });
}

/** Bits of TO: less, greater, equal, unsigned less, unsigned greater. */
function traps(table: InstructionTable): void {
  const trap = (name: string, layout: Layout, word: boolean, second: (m: Machine) => I64): void => {
    table.instruction(name, "hot", layout, (m) => {
      const [x, y] = m.w;
      const extend = word ? i64.extend32s : (value: I64): I64 => value;
      const wanted = (mask: number, condition: I32): I32 =>
        i32.and(i32.ne(i32.and(m.operand("a"), i32.const(mask)), i32.const(0)), condition);
      const conditions = [
        wanted(16, i64.ltS(x.get, y.get)),
        wanted(8, i64.gtS(x.get, y.get)),
        wanted(4, i64.eq(x.get, y.get)),
        wanted(2, i64.ltU(x.get, y.get)),
        wanted(1, i64.gtU(x.get, y.get)),
      ];
      return seq(x.set(extend(m.gpr("b"))), y.set(extend(second(m))), when(conditions.reduce(i32.or), m.escape));
    });
  };
  trap("tw", toRaRb, true, (m) => m.gpr("c"));
  trap("td", toRaRb, false, (m) => m.gpr("c"));
  trap("twi", toRaSi, true, (m) => m.imm);
  trap("tdi", toRaSi, false, (m) => m.imm);
}

export function systemInstructions(table: InstructionTable, system: Handler): void {
  specialRegisters(table, system);
  traps(table);
  // What compiled code does not answer, and every other level, is system.ts's.
  const hypercall = table.handler("sc.hypercall", "branch", (m) => seq(when(problemState(m), m.escape), m.hypercall));
  table.choice("sc", (word) => (((word >>> 5) & 0x7f) === 1 ? hypercall : system));
  table.instruction("mfmsr", "hot", rtOnly, (m) => seq(when(problemState(m), m.escape), m.setGpr("a", m.state64(MSR))));
  // No second-level structure exists to wait for: everything is done when tlbie returns.
  table.instruction("tlbsync", "cold", noOperands, (m) => when(problemState(m), m.escape));
}
