import { describe, expect, it } from "vitest";
import { Assembler, elfImage } from "../src/index.ts";

const view = (file: Uint8Array): DataView => new DataView(file.buffer);

describe("x86asm: ELF images", () => {
  it("have one segment with the code behind the headers, and room behind it", () => {
    const bytes = new Uint8Array([0xf4, 0xeb, 0xfd]);
    const file = elfImage({ address: 0x10_0000, bytes, entry: 0x10_0001, memorySize: 0x2000 });
    const v = view(file);
    expect([...file.subarray(0, 7)]).toEqual([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    expect([v.getUint16(16, true), v.getUint16(18, true), v.getBigUint64(24, true)]).toEqual([2, 62, 0x10_0001n]);
    const header = Number(v.getBigUint64(32, true));
    const at = Number(v.getBigUint64(header + 8, true));
    expect([...file.subarray(at)]).toEqual([...bytes]);
    expect([16, 24, 32, 40].map((field) => v.getBigUint64(header + field, true))).toEqual([
      0x10_0000n,
      0x10_0000n,
      3n,
      0x2000n,
    ]);
  });

  it("are entered at their beginning unless told otherwise", () => {
    const a = new Assembler({ origin: 0x20_0000 });
    a.hlt();
    const v = view(elfImage({ address: a.origin, bytes: a.bytes() }));
    expect(v.getBigUint64(24, true)).toBe(0x20_0000n);
    expect(v.getBigUint64(64 + 40, true)).toBe(1n);
  });
});
