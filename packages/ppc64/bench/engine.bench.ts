// Speed of the interpreter on small loops. Each iteration of a bench runs a fixed number of guest instructions, so
// MIPS = ROUNDS / mean; the table printed at the end has it.

import { afterAll, bench, describe } from "vitest";
import { Assembler, r3, r4, r5, r6, r7, r8 } from "../src/asm/index.ts";
import { Cpu, ExitReason } from "../src/index.ts";

const ROUNDS = 20_000_000;
const CODE = 0x10000;
const DATA = 0x100000;
const TABLE = 0x200000;

const cpu = Cpu.create({ ramBytes: 16 << 20 });
const spent = new Map<string, { instructions: number; ms: number }>();

function load(origin: number, write: (a: Assembler) => void): void {
  const a = new Assembler({ origin });
  write(a);
  new Uint8Array(cpu.memory.buffer, cpu.ramOffset + origin).set(a.bytes());
}

function run(name: string, entry: number): void {
  cpu.pc = BigInt(entry);
  cpu.msr = 0x8000000000000001n;
  cpu.gpr64[4] = BigInt(DATA);
  const before = cpu.retired;
  const start = performance.now();
  while (cpu.retired - before < ROUNDS) {
    if (cpu.run(ROUNDS) !== ExitReason.budget) throw new Error(`unexpected exit at ${cpu.pc}`);
  }
  const total = spent.get(name) ?? { instructions: 0, ms: 0 };
  total.instructions += cpu.retired - before;
  total.ms += performance.now() - start;
  spent.set(name, total);
}

/** xorshift and a sum: dependent arithmetic without memory. */
load(CODE, (a) => {
  a.li64(r3, 88172645463325252n);
  a.label("again");
  a.sldi(r5, r3, 13);
  a.xor(r3, r3, r5);
  a.srdi(r5, r3, 7);
  a.xor(r3, r3, r5);
  a.sldi(r5, r3, 17);
  a.xor(r3, r3, r5);
  a.add(r6, r6, r3);
  a.b("again");
});

/** Copies 4 KiB by doublewords, adding them up. */
load(CODE + 0x1000, (a) => {
  a.label("again");
  a.li(r5, 512);
  a.mtctr(r5);
  a.addi(r7, r4, -8);
  a.li64(r8, TABLE - 8);
  a.label("copy");
  a.ldu(r3, 8, r7);
  a.add(r6, r6, r3);
  a.stdu(r3, 8, r8);
  a.bdnz("copy");
  a.b("again");
});

/** Collatz: data-dependent branches and calls. */
load(CODE + 0x2000, (a) => {
  a.label("again");
  a.addi(r6, r6, 1);
  a.clrldi(r3, r6, 48);
  a.ori(r3, r3, 1);
  a.label("step");
  a.cmpdi(r3, 1);
  a.beq("again");
  a["andi."](r5, r3, 1);
  a.beq("even");
  a.bl("odd");
  a.b("step");
  a.label("even");
  a.srdi(r3, r3, 1);
  a.b("step");
  a.label("odd");
  a.mulli(r3, r3, 3);
  a.addi(r3, r3, 1);
  a.blr();
});

describe("ppc64 engine: interpreter", () => {
  const options = { iterations: 5, time: 0, warmupIterations: 3, warmupTime: 0 };
  bench("arithmetic loop", () => run("arithmetic loop", CODE), options);
  bench("memory loop", () => run("memory loop", CODE + 0x1000), options);
  bench("branchy loop", () => run("branchy loop", CODE + 0x2000), options);
});

afterAll(() => {
  for (const [name, { instructions, ms }] of spent) {
    console.log(`${name}: ${(instructions / ms / 1000).toFixed(0)} MIPS`);
  }
});
