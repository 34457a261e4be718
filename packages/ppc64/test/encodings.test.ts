import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeFields,
  ENCODINGS,
  encodingByName,
  extractField,
  FIELDS,
  fieldMask,
  findEncoding,
  INTEGER_ROWS,
  insertField,
} from "../src/isa/encodings.ts";

const u32 = fc.integer({ min: 0, max: 0xffffffff });

describe("ppc64 isa: encoding table", () => {
  it("names are unique and matches lie inside their masks", () => {
    expect(new Set(ENCODINGS.map((r) => r.name)).size).toBe(ENCODINGS.length);
    for (const r of ENCODINGS) expect((r.match & ~r.mask) >>> 0, r.name).toBe(0);
  });

  it("operands never overlap the opcode or each other", () => {
    for (const r of INTEGER_ROWS) {
      let used = r.mask;
      for (const f of r.fields) {
        expect((used & fieldMask(f)) >>> 0, `${r.name} ${f.name}`).toBe(0);
        used |= fieldMask(f);
      }
    }
  });

  it("finds every row again from any word built on it, unless a more specific row owns the word", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ENCODINGS), u32, (r, noise) => {
        const word = (r.match | (noise & ~r.mask)) >>> 0;
        const found = findEncoding(word);
        if (found === undefined) return false;
        if (found === r) return true;
        return (found.mask & r.mask) >>> 0 === r.mask && found.mask !== r.mask;
      }),
      { numRuns: 5000 },
    );
  });

  it("fields survive insertion and extraction", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(FIELDS)), u32, (f, word) => {
        return insertField(word, f, extractField(word, f)) === word;
      }),
      { numRuns: 2000 },
    );
  });

  it("takes known words apart", () => {
    const of = (word: number) => {
      const row = findEncoding(word)!;
      return { name: row.name, ...decodeFields(word, row) };
    };
    expect(of(0x3860fff0)).toMatchObject({ name: "addi", RT: 3, RA: 0, SI: -16 });
    expect(of(0xe8610008)).toMatchObject({ name: "ld", RT: 3, DS: 8, RA: 1 });
    expect(of(0x4bffffe1)).toMatchObject({ name: "b", LI: -32, lk: 1, aa: 0 });
    expect(of(0x7c632e14 | 1)).toMatchObject({ name: "add", oe: 1, rc: 1, RB: 5 });
    expect(of(0x7c6802a6)).toMatchObject({ name: "mfspr", SPR: 8 });
    expect(of(0x78630020)).toMatchObject({ name: "rldicl", SH: 0, MB: 32 });
    expect(of(0x44000022)).toMatchObject({ name: "sc", LEV: 1 });
  });

  it("knows the facility of what it does not execute, and rejects what does not exist", () => {
    expect(findEncoding(0xc8010000)?.unit).toBe("fp"); // lfd
    expect(findEncoding(0x7c0020ce)?.unit).toBe("vmx"); // lvx
    expect(findEncoding(0x7c001e98)?.unit).toBe("vsx"); // lxvd2x
    expect(findEncoding(0x10000484)?.unit).toBe("vmx"); // vor
    expect(findEncoding(0)).toBeUndefined();
    expect(encodingByName("addi")?.match).toBe(0x38000000);
  });
});
