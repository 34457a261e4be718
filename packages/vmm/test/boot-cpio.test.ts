import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cpioCharDevice, cpioDirectory, cpioFile, placeBootImages, readCpio, writeCpio } from "../src/boot/index.ts";
import { VmmError } from "../src/errors.ts";

describe("vmm boot: cpio", () => {
  it("writes members that the reader finds again", () => {
    const archive = writeCpio([
      cpioDirectory("dev"),
      cpioCharDevice("dev/console", 5, 1),
      cpioFile("init", Uint8Array.from([1, 2, 3])),
    ]);
    expect(archive.length % 512).toBe(0);
    const entries = readCpio(archive);
    expect(entries.map(({ name, mode }) => [name, mode])).toEqual([
      ["dev", 0o40755],
      ["dev/console", 0o20600],
      ["init", 0o100755],
    ]);
    expect(entries[1]?.device).toEqual({ major: 5, minor: 1 });
    expect([...(entries[2]?.data ?? [])]).toEqual([1, 2, 3]);
  });

  it("starts each member with a newc header of 110 characters", () => {
    const text = new TextDecoder("latin1").decode(writeCpio([cpioFile("a", Uint8Array.from([65]))]));
    expect(text.slice(0, 6)).toBe("070701");
    expect(text.slice(54, 62)).toBe("00000001");
    expect(text.slice(110, 112)).toBe("a\0");
    expect(text[112]).toBe("A");
  });

  it("refuses a truncated archive at any length that loses a member", () => {
    const archive = writeCpio([cpioFile("file", new Uint8Array(600).fill(7))]);
    const needed = 112 + 4 + 600 + 110;
    fc.assert(
      fc.property(fc.nat(needed - 1), (length) => {
        expect(() => readCpio(archive.subarray(0, length))).toThrow(
          expect.objectContaining({ code: "CPIO_TRUNCATED" }),
        );
      }),
    );
  });

  it("keeps any names and data", () => {
    const entry = fc.record({
      name: fc.stringMatching(/^[a-z0-9._-]{1,20}$/),
      mode: fc.constantFrom(0o100644, 0o100755, 0o120777),
      data: fc.uint8Array({ maxLength: 50 }),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
        const read = readCpio(writeCpio(entries));
        expect(read.map(({ name, mode, data }) => ({ name, mode, data }))).toEqual(entries);
      }),
    );
  });

  it("gives a typed error for a damaged archive", () => {
    const good = writeCpio([cpioFile("init", new Uint8Array(30))]);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const archive = good.slice();
        archive[at] = byte;
        try {
          readCpio(archive);
        } catch (error) {
          expect(error).toBeInstanceOf(VmmError);
        }
      }),
    );
  });

  it("refuses an empty name", () => {
    expect(() => writeCpio([{ name: "", mode: 0 }])).toThrow(expect.objectContaining({ code: "CPIO_MALFORMED" }));
  });
});

describe("vmm boot: placement", () => {
  const kernelEnd = 0x289_0000;

  it("puts the initrd behind the kernel and the tree below the top", () => {
    const layout = placeBootImages({ ramBytes: 0x2000_0000, kernelEnd, initrdBytes: 1000, fdtBytes: 5000 });
    expect(layout).toEqual({ initrdStart: 0x2c9_0000, initrdEnd: 0x2c9_03e8, fdtStart: 0x1fff_0000 - 0 });
  });

  it("never overlaps kernel, initrd and tree, or says how much is needed", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4096 }),
        fc.nat(0x400_0000),
        fc.nat(0x1000_0000),
        fc.integer({ min: 100, max: 100_000 }),
        (mib, end, initrdBytes, fdtBytes) => {
          const ramBytes = mib * 0x10_0000;
          const request = { ramBytes, kernelEnd: end, initrdBytes, fdtBytes };
          try {
            const { initrdStart, initrdEnd, fdtStart } = placeBootImages(request);
            expect(initrdStart).toBeGreaterThanOrEqual(end);
            expect(initrdEnd - initrdStart).toBe(initrdBytes);
            expect(fdtStart).toBeGreaterThanOrEqual(initrdEnd);
            expect(fdtStart + fdtBytes).toBeLessThanOrEqual(ramBytes);
          } catch (error) {
            expect((error as VmmError).code).toBe("USAGE_MEMORY_TOO_SMALL");
            const needed = (error as VmmError).details.needed as number;
            expect(needed).toBeGreaterThan(ramBytes);
            expect(() => placeBootImages({ ...request, ramBytes: needed })).not.toThrow();
          }
        },
      ),
    );
  });
});
