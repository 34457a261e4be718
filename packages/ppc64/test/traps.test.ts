// Trap instructions: which operands trap, by the definition (Power ISA 3.0B, Book I 3.3.11), and what the program
// interrupt then says. They are not in the recorded cases, because a trap ends a user program.

import { beforeAll, describe, expect, it } from "vitest";
import { Assembler } from "../src/asm/index.ts";
import { Cpu, ExitReason } from "../src/index.ts";

const CODE = 0x10000;
const PROGRAM_INTERRUPT = 0x700;
const REAL_MODE = 0x8000000000000001n;
const SRR1_TRAP = 0x20000n;
const VALUES = [0n, 1n, -1n, 0x7fffffffn, 0x80000000n, -0x80000000n, 1n << 32n, (1n << 63n) - 1n, -(1n << 63n)];
const TOS = [0, 1, 2, 4, 8, 16, 20, 31];
const IMMEDIATES = [0, 1, -1, 0x7fff, -0x8000];
type Mnemonic = "tw" | "td" | "twi" | "tdi";

let cpu: Cpu;
/** Address of each trap that is tried. All are placed before the first runs. */
const slots = new Map<string, number>();

beforeAll(() => {
  cpu = Cpu.create({ ramBytes: 1 << 20, trapAddress: PROGRAM_INTERRUPT });
  const a = new Assembler({ origin: CODE });
  const place = (mnemonic: Mnemonic, to: number, third: number): void => {
    slots.set(`${mnemonic} ${to} ${third}`, a.here);
    a.emit(mnemonic, to, 4, third);
    a.sc(1);
  };
  for (const to of TOS) {
    place("tw", to, 5);
    place("td", to, 5);
    for (const si of IMMEDIATES) {
      place("twi", to, si);
      place("tdi", to, si);
    }
  }
  new Uint8Array(cpu.memory.buffer, cpu.ramOffset).set(a.bytes(), CODE);
});

/** TO bits from the most significant: signed less, signed greater, equal, unsigned less, unsigned greater. */
function traps(to: number, a: bigint, b: bigint, bits: 32 | 64): boolean {
  const [sa, sb] = [BigInt.asIntN(bits, a), BigInt.asIntN(bits, b)];
  const [ua, ub] = [BigInt.asUintN(bits, a), BigInt.asUintN(bits, b)];
  const conditions = [ua > ub, ua < ub, sa === sb, sa > sb, sa < sb];
  return conditions.some((holds, bit) => holds && (to & (1 << bit)) !== 0);
}

function setGpr(n: number, value: bigint): void {
  cpu.setGpr(n, Number(BigInt.asUintN(32, value >> 32n)), Number(BigInt.asUintN(32, value)));
}

/** Runs one trap; behind it lies a hypervisor call. True when it trapped. */
function run(mnemonic: Mnemonic, to: number, third: number): boolean {
  const at = slots.get(`${mnemonic} ${to} ${third}`)!;
  cpu.pc = BigInt(at);
  cpu.msr = REAL_MODE;
  const reason = cpu.run(1000);
  if (reason === ExitReason.trap) {
    expect(cpu.spr(26)).toBe(BigInt(at));
    expect(cpu.spr(27) & 0x783f0000n).toBe(SRR1_TRAP);
  } else expect(reason).toBe(ExitReason.hcall);
  return reason === ExitReason.trap;
}

describe("ppc64 engine: traps", () => {
  it.each(["tw", "td"] as const)("%s compares by every TO bit", (mnemonic) => {
    for (const x of VALUES) {
      for (const y of VALUES) {
        for (const to of TOS) {
          setGpr(4, x);
          setGpr(5, y);
          expect(run(mnemonic, to, 5), `${to} ${x} ${y}`).toBe(traps(to, x, y, mnemonic === "tw" ? 32 : 64));
        }
      }
    }
  });

  it.each(["twi", "tdi"] as const)("%s sign-extends its immediate", (mnemonic) => {
    for (const x of VALUES) {
      for (const si of IMMEDIATES) {
        for (const to of TOS) {
          setGpr(4, x);
          expect(run(mnemonic, to, si), `${to} ${x} ${si}`).toBe(
            traps(to, x, BigInt(si), mnemonic === "twi" ? 32 : 64),
          );
        }
      }
    }
  });
});
