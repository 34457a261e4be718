// The instruction recording itself: known results that need no processor to compute, so that a broken harness or a
// recording that does not belong to its cases shows here and not as a thousand wrong instructions.

import { describe, expect, it } from "vitest";
import { disassemble } from "../src/asm/index.ts";
import { isMemoryTable, recordBytes, STATE_BYTES, WINDOW } from "../tools/instruction-program.ts";
import { readInstructionRecording } from "./support/instruction-recording.ts";

const { cases, tables, program, outputs } = readInstructionRecording();
const view = new DataView(outputs.buffer, outputs.byteOffset);
const u64 = (v: bigint) => BigInt.asUintN(64, v);

/** Runs over input and output of every state of a case's first setting (distinct registers). */
function eachState(
  name: string,
  check: (input: readonly bigint[], output: bigint[], window: Uint8Array) => void,
): void {
  const index = cases.findIndex((c) => c.name === name);
  const c = cases[index]!;
  tables[c.table]!.forEach((input, n) => {
    const at = program.offsets[index]! + n * recordBytes(c.table);
    const output = Array.from({ length: 9 }, (_, i) => view.getBigUint64(at + i * 8, true));
    check(
      input,
      output,
      isMemoryTable(c.table) ? outputs.subarray(at + STATE_BYTES, at + recordBytes(c.table)) : outputs,
    );
  });
}

describe("ppc64 recording: instruction results", () => {
  it("has the size that its cases ask for", () => {
    expect(outputs.length).toBe(program.outputBytes);
    expect(new Set(cases.map((c) => c.name)).size).toBeGreaterThan(280);
  });

  it("sums and differences are right modulo 2^64, other registers stay", () => {
    eachState("add", ([r0, , r4, r5, r6, lr, ctr, flags], out) => {
      expect(out).toEqual([r0, u64(r4! + r5!), r4, r5, r6, lr, ctr, flags, 0n]);
    });
    eachState("subf", ([, , r4, r5], out) => expect(out[1]).toBe(u64(r5! - r4!)));
  });

  it("carry goes to XER[CA]", () => {
    eachState("addc", ([, , r4, r5], out) => expect((out[7]! >> 61n) & 1n).toBe((r4! + r5!) >> 64n));
  });

  it("stores change the window where they should", () => {
    eachState("std", ([, r3, r4], _out, window) => {
      const at = Number(r4! - BigInt(WINDOW));
      expect(new DataView(window.buffer, window.byteOffset).getBigUint64(at, true)).toBe(r3);
    });
  });

  it("unconditional branches were taken, with and without link", () => {
    for (const name of ["b", "bl"]) {
      eachState(name, ([, , , , , lr], out) => {
        expect(out[8]).toBe(2n);
        expect(out[5] === lr).toBe(name === "b");
      });
    }
  });

  it("every case's last word is an instruction of its group", () => {
    const wrong = cases.filter((c) => !c.words.some((w) => disassemble(w).split(" ")[0] === c.name));
    expect(wrong).toEqual([]);
  });
});
