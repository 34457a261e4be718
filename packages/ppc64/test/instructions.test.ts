// Every recorded instruction on this package's engine: the program that ran under the reference runs here in real mode,
// group by group, and every output state must be the same.
// Group's end, system call and all interrupts lead to the trap address, so that an instruction that is not implemented
// makes its own group fail and no other.

import { beforeAll, describe, expect, it } from "vitest";
import { disassemble } from "../src/asm/index.ts";
import { Cpu, ExitReason } from "../src/index.ts";
import { ORIGIN, recordBytes, STATE_BYTES } from "../tools/instruction-program.ts";
import { readInstructionRecording } from "./support/instruction-recording.ts";
import { expectation } from "./support/reference-limits.ts";

const REAL_MODE = 0x8000000000000001n; // SF, LE
const SPR_SRR0 = 26;
const RAM_BYTES = 24 << 20;
/** Outside of RAM, and in reach of an absolute branch. */
const TRAP = 0x1fff000;
const BRANCH_ABSOLUTE = 0x48000002;
const VECTORS = [0x300, 0x380, 0x400, 0x480, 0x600, 0x700, 0x800, 0xc00, 0xf20, 0xf40, 0xf60];
const REGISTERS = ["r0", "r3", "r4", "r5", "r6", "lr", "ctr", "xer:cr", "flag"];
const FLAGS = 7;
const ALL = (1n << 64n) - 1n;

const { cases, tables, program, outputs } = readInstructionRecording();
const expected = new DataView(outputs.buffer, outputs.byteOffset);
let cpu: Cpu;

beforeAll(() => {
  cpu = Cpu.create({ ramBytes: RAM_BYTES, trapAddress: TRAP });
  const ram = new Uint8Array(cpu.memory.buffer, cpu.ramOffset, RAM_BYTES);
  ram.set(program.bytes, ORIGIN);
  const view = new DataView(cpu.memory.buffer, cpu.ramOffset);
  for (const vector of VECTORS) view.setUint32(vector, BRANCH_ABSOLUTE | TRAP, true);
  view.setUint32(program.returnSlot, TRAP, true);
});

/** Runs a group until it gets to the trap address; returns the interrupted address when an interrupt led there. */
function runGroup(name: string): bigint | undefined {
  cpu.pc = BigInt(program.groups.get(name)!);
  cpu.msr = REAL_MODE;
  cpu.setSpr(SPR_SRR0, 0n);
  for (let i = 0; i < 100; i++) {
    const reason = cpu.run(1_000_000);
    if (reason === ExitReason.budget) continue;
    if (reason !== ExitReason.trap) throw new Error(`${name}: exit ${reason} ${cpu.exit.message}`);
    const interrupted = cpu.spr(SPR_SRR0);
    return interrupted === 0n ? undefined : interrupted;
  }
  throw new Error(`${name}: does not end, pc 0x${cpu.pc.toString(16)}`);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** Differences of one case, as text: what came out instead of what, and the input. */
function compareCase(index: number): string[] {
  const c = cases[index]!;
  const ram = new DataView(cpu.memory.buffer, cpu.ramOffset + program.output);
  const bytes = recordBytes(c.table);
  const wrong: string[] = [];
  tables[c.table]!.forEach((input, n) => {
    const at = program.offsets[index]! + n * bytes;
    const { masks, flags } = expectation(c.words, input, expected.getBigUint64(at + FLAGS * 8, true));
    for (let i = 0; i < bytes / 8; i++) {
      const mask = masks[i] ?? ALL;
      const got = ram.getBigUint64(at + i * 8, true) & mask;
      const want = (i === FLAGS ? flags : expected.getBigUint64(at + i * 8, true)) & mask;
      if (got === want) continue;
      const what = REGISTERS[i] ?? `window+${i * 8 - STATE_BYTES}`;
      const text = c.words.map((w) => disassemble(w)).join("; ");
      wrong.push(`${text}: ${what} = ${hex(got)}, reference ${hex(want)}; input ${input.map(hex).join(" ")}`);
    }
  });
  return wrong;
}

describe("ppc64 engine: every instruction as the reference does it", () => {
  it.each([...program.groups.keys()])("%s", (name) => {
    const interrupted = runGroup(name);
    if (interrupted !== undefined) {
      const word = new DataView(cpu.memory.buffer, cpu.ramOffset).getUint32(Number(interrupted), true);
      throw new Error(`interrupt at ${hex(interrupted)}: ${disassemble(word)}`);
    }
    const wrong = cases.flatMap((c, i) => (c.name === name ? compareCase(i) : []));
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});
