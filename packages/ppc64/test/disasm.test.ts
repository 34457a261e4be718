import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  Assembler,
  decodeFields,
  disassemble,
  encodingByName,
  findEncoding,
  MNEMONICS,
  mnemonicOf,
} from "../src/asm/index.ts";

function recording<T>(name: string): T[] {
  return JSON.parse(readFileSync(new URL(`recordings/${name}`, import.meta.url), "utf8")) as T[];
}

const listed = recording<[word: string, address: number, text: string]>("disassembly.json");
const extended = recording<[name: string, operands: number[], word: number]>("extended.json");

/** What the assembler has to be given for a word: branch targets are absolute. */
function operandsOf(word: number, address: number): number[] {
  const row = findEncoding(word)!;
  const fields = decodeFields(word, row);
  return row.fields.map((f) => fields[f.name]! + (f.kind === "target" && !fields.aa ? address : 0));
}

describe("ppc64 isa: against binutils' recorded answers", () => {
  it("disassembles as objdump -M raw does", () => {
    const wrong = listed.filter(([word, address, text]) => disassemble(Number.parseInt(word, 16), address) !== text);
    expect(wrong).toEqual([]);
    expect(listed.length).toBeGreaterThan(4000);
  });

  it("the recording covers every mnemonic of the table", () => {
    const seen = new Set(listed.map(([, , text]) => text.split(" ")[0]!));
    expect([...MNEMONICS.keys()].filter((name) => !seen.has(name))).toEqual(["mftb"]); // binutils: up to POWER8
  });

  it("assembles every recorded word again from its operands", () => {
    const wrong = listed.filter(([text, address]) => {
      const word = Number.parseInt(text, 16);
      const a = new Assembler({ origin: address });
      a.emit(mnemonicOf(word, findEncoding(word)!), ...operandsOf(word, address));
      return new DataView(a.bytes().buffer).getUint32(0, true) !== word;
    });
    expect(wrong).toEqual([]);
  });

  it("expands extended mnemonics as GNU as does", () => {
    const origin = 0x10000000;
    for (const [name, operands, word] of extended) {
      const a = new Assembler({ origin });
      const target = /^b[a-z]*$/.test(name) && !/(lr|lrl|ctr|ctrl)$/.test(name);
      a.emit(name, ...operands.map((v, i) => (target && i === operands.length - 1 ? origin + v : v)));
      expect(new DataView(a.bytes().buffer).getUint32(0, true).toString(16), name).toBe(word.toString(16));
    }
  });
});

describe("ppc64 isa: disassembler's edges", () => {
  it("prints words that are no instruction as data", () => {
    expect(disassemble(0)).toBe(".long 0x0");
    expect(disassemble(0x7c210214 | 0x400)).toBe("addo r1,r1,r0");
    expect(disassemble(encodingByName("isync")!.match | 0x200000)).toBe(".long 0x4c20012c");
  });

  it("wraps branch targets at 64 bits", () => {
    expect(disassemble(0x48000008, 0xfffffffffffffffcn)).toBe("b 0x4");
    expect(disassemble(0x4bfffffc, 0xc000000000001000n)).toBe("b 0xc000000000000ffc");
  });
});
