import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadElf, parseElf } from "../src/boot/index.ts";
import { VmmError } from "../src/errors.ts";

interface Shape {
  machine?: number;
  elfClass?: number;
  endianness?: number;
  type?: number;
  address?: bigint;
  entry?: bigint;
  memorySize?: number;
}

/** An ELF file with one segment that holds `code`. */
function elf(code: Uint8Array, shape: Shape = {}): Uint8Array {
  const file = new Uint8Array(120 + code.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x7f454c46);
  file[4] = shape.elfClass ?? 2;
  file[5] = shape.endianness ?? 1;
  view.setUint16(18, shape.machine ?? 21, true);
  view.setBigUint64(24, shape.entry ?? 0xc000000000000000n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, shape.type ?? 1, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(88, shape.address ?? 0xc000000000000000n, true);
  view.setBigUint64(96, BigInt(code.length), true);
  view.setBigUint64(104, BigInt(shape.memorySize ?? code.length), true);
  file.set(code, 120);
  return file;
}

const code = Uint8Array.from([1, 2, 3, 4]);

describe("vmm boot: ELF loader", () => {
  it("puts a kernel linked at 0xc000000000000000 at physical 0", () => {
    const image = parseElf(elf(code));
    expect(image.entry).toBe(0);
    expect(image.end).toBe(4);
    const ram = new Uint8Array(16).fill(0xff);
    loadElf(image, ram);
    expect([...ram.subarray(0, 5)]).toEqual([1, 2, 3, 4, 0xff]);
  });

  it("keeps another address and zeroes what the file leaves out", () => {
    const image = parseElf(elf(code, { address: 0x20n, entry: 0x24n, memorySize: 8 }));
    expect(image.entry).toBe(0x24);
    const ram = new Uint8Array(0x40).fill(0xff);
    loadElf(image, ram);
    expect([...ram.subarray(0x20, 0x29)]).toEqual([1, 2, 3, 4, 0, 0, 0, 0, 0xff]);
  });

  it.each<[string, Uint8Array, string]>([
    ["a text file", new TextEncoder().encode("#!/bin/sh\n"), "ELF_NOT_ELF"],
    ["an empty file", new Uint8Array(0), "ELF_NOT_ELF"],
    ["a 32-bit image", elf(code, { elfClass: 1 }), "ELF_WRONG_CLASS"],
    ["a big-endian image", elf(code, { endianness: 2 }), "ELF_WRONG_ENDIANNESS"],
    ["an x86-64 image", elf(code, { machine: 62 }), "ELF_WRONG_MACHINE"],
    ["a file without its segment", elf(code).subarray(0, 122), "ELF_TRUNCATED"],
    ["a file that ends in its header", elf(code).subarray(0, 40), "ELF_TRUNCATED"],
    ["a file without PT_LOAD", elf(code, { type: 4 }), "ELF_NO_SEGMENT"],
  ])("refuses %s", (_, file, expected) => {
    expect(() => parseElf(file)).toThrow(expect.objectContaining({ code: expected }));
  });

  it("says how much memory an image needs", () => {
    const image = parseElf(elf(code, { memorySize: 0x30_0000 }));
    expect(() => loadElf(image, new Uint8Array(0x10_0000))).toThrow(
      expect.objectContaining({ code: "ELF_TOO_BIG", hint: expect.stringContaining("3 MiB") }),
    );
  });

  it("either loads inside RAM or gives a typed error, whatever the header says", () => {
    const good = elf(code);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(119), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const file = good.slice();
        for (const [at, byte] of changes) file[at] = byte;
        try {
          loadElf(parseElf(file), new Uint8Array(0x1000));
        } catch (error) {
          expect(error).toBeInstanceOf(VmmError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
