// Every sample against what GNU as made of it (tools/record-encodings.ts), and every mnemonic in some sample.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Assembler, type Bits, MNEMONICS } from "../src/index.ts";
import { SAMPLES } from "./support/samples.ts";

const recorded = JSON.parse(readFileSync(new URL("recordings/encodings.json", import.meta.url), "utf8")) as Record<
  string,
  Record<string, string>
>;

for (const bits of [16, 64] satisfies Bits[]) {
  describe(`x86asm: encodings of ${bits}-bit mode`, () => {
    for (const [source, emit] of SAMPLES[bits]) {
      it(source, () => {
        const a = new Assembler({ bits });
        emit(a);
        expect(Buffer.from(a.bytes()).toString("hex")).toBe(recorded[bits]?.[source]);
      });
    }
  });
}

describe("x86asm: samples", () => {
  it("every mnemonic is in one of them", () => {
    const used = new Set<string>();
    class Listening extends Assembler {
      override emit(...[name, ...operands]: Parameters<Assembler["emit"]>): void {
        used.add(name);
        super.emit(name, ...operands);
      }
    }
    for (const bits of [16, 64] satisfies Bits[]) {
      for (const [, emit] of SAMPLES[bits]) emit(new Listening({ bits }));
    }
    expect(MNEMONICS.filter((name) => !used.has(name))).toEqual([]);
  });
});
