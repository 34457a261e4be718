import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseX86Kernel } from "../src/boot/index.ts";
import { VmmError } from "../src/errors.ts";
import { property } from "./property.ts";
import { bzImage, x86Elf } from "./x86-kernels.ts";

const code = Uint8Array.from({ length: 40 }, (_, index) => index + 1);

describe("vmm boot: x86 kernels", () => {
  it("reads a bzImage", () => {
    const file = bzImage(code, { version: "6.1.0 (someone) #1", initSize: 0x123_4000, commandLineMax: 1000 });
    const kernel = parseX86Kernel(file);
    expect(kernel).toMatchObject({
      format: "bzimage",
      entry: 0x100_0200,
      start: 0x100_0000,
      end: 0x223_4000,
      initrdMax: 0x7fff_ffff,
      commandLineMax: 1000,
      version: "6.1.0 (someone) #1",
    });
    expect(kernel.segments).toHaveLength(1);
    expect(kernel.segments[0]!.address).toBe(0x100_0000);
    // 40 bytes are three units of sixteen.
    expect([...kernel.segments[0]!.bytes]).toEqual([...code, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect([...kernel.setupHeader]).toEqual([...file.subarray(0x1f1, 0x202 + 0x66)]);
  });

  it("takes four setup sectors for none, 1 MiB for no preference, and no version for none", () => {
    const kernel = parseX86Kernel(bzImage(code, { setupSectors: 0, preferred: 0 }));
    expect(kernel.segments[0]!.bytes[0]).toBe(1);
    expect(kernel.start).toBe(0x10_0000);
    expect(kernel.version).toBeNull();
  });

  it("leaves out what is appended behind the protected-mode part, as a signature is", () => {
    const file = new Uint8Array([...bzImage(code), 9, 9, 9]);
    expect(parseX86Kernel(file).segments[0]!.bytes).toHaveLength(48);
  });

  it("needs memory for all of the image even if the header asks for less", () => {
    expect(parseX86Kernel(bzImage(new Uint8Array(0x1000), { initSize: 8 })).end).toBe(0x100_1000);
  });

  it("reads an ELF file and makes up a header for it", () => {
    const kernel = parseX86Kernel(x86Elf(code, { address: 0x20_0000, entry: 0x20_0010, memorySize: 0x1000 }));
    expect(kernel).toMatchObject({
      format: "elf",
      entry: 0x20_0010,
      start: 0x20_0000,
      end: 0x20_1000,
      commandLineMax: 2047,
      version: null,
    });
    expect(new TextDecoder().decode(kernel.setupHeader.subarray(0x202 - 0x1f1, 0x206 - 0x1f1))).toBe("HdrS");
  });

  it.each<[string, Uint8Array, string]>([
    ["a text file", new TextEncoder().encode("#!/bin/sh\n"), "BZIMAGE_NOT_A_KERNEL"],
    ["an empty file", new Uint8Array(0), "BZIMAGE_NOT_A_KERNEL"],
    ["a boot sector without a header", bzImage(code).fill(0, 0x202, 0x206), "BZIMAGE_NOT_A_KERNEL"],
    ["a kernel older than 3.8", bzImage(code, { protocol: 0x20b }), "BZIMAGE_TOO_OLD"],
    ["a zImage", bzImage(code, { loadflags: 0 }), "BZIMAGE_NO_64BIT_ENTRY"],
    ["a 32-bit kernel", bzImage(code, { xloadflags: 0 }), "BZIMAGE_NO_64BIT_ENTRY"],
    ["a file that ends in its header", bzImage(code).subarray(0, 0x240), "BZIMAGE_TRUNCATED"],
    ["a file that ends in its code", bzImage(code).subarray(0, -1), "BZIMAGE_TRUNCATED"],
    ["a kernel that wants to be in low memory", bzImage(code, { preferred: 0x1000 }), "KERNEL_BAD_PLACE"],
    ["a 32-bit ELF file", x86Elf(code, { elfClass: 1 }), "ELF_WRONG_CLASS"],
    ["a POWER kernel", x86Elf(code, { machine: 21 }), "ELF_WRONG_MACHINE"],
    ["a program that is moved when loaded", x86Elf(code, { address: 0 }), "KERNEL_BAD_PLACE"],
    ["an ELF file entered elsewhere", x86Elf(code, { entry: 0x10_0028 }), "KERNEL_BAD_PLACE"],
    ["a short ELF file", x86Elf(code).subarray(0, 130), "ELF_TRUNCATED"],
  ])("refuses %s", (_, file, expected) => {
    expect(() => parseX86Kernel(file, "vmlinuz")).toThrow(
      expect.objectContaining({ code: expected, message: expect.stringContaining("vmlinuz") }),
    );
  });

  const change = fc.tuple(fc.oneof(fc.integer({ min: 0x1f1, max: 0x268 }), fc.nat(200)), fc.nat(255));
  property(
    "reads a damaged file, or gives a typed error, whatever its header says",
    [fc.array(change, { maxLength: 6 }), fc.boolean(), fc.nat(2500)],
    (changes, elf, length) => {
      const file = elf ? x86Elf(code) : bzImage(code, { version: "1" });
      for (const [at, byte] of changes) file[at] = byte;
      try {
        const kernel = parseX86Kernel(file.subarray(0, length));
        expect(kernel.start).toBeGreaterThanOrEqual(0x10_0000);
        for (const { address, memorySize } of kernel.segments) {
          expect(address + memorySize).toBeLessThanOrEqual(kernel.end);
        }
      } catch (error) {
        if (!(error instanceof VmmError)) throw error;
      }
    },
  );
});
