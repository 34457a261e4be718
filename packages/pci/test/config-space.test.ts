import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { passive } from "../src/devices/index.ts";
import {
  type BarDescription,
  barOffset,
  ConfigSpace,
  capabilities,
  defineBar,
  extendedCapabilities,
  PciError,
  ROM_BAR,
  readBarAddress,
  writeBarAddress,
} from "../src/index.ts";

const power = (from: number, to: number) => fc.integer({ min: from, max: to }).map((n) => 2 ** n);
const bar = fc.oneof(
  fc.record({ index: fc.nat(5), type: fc.constant("mem32" as const), size: power(4, 31), prefetchable: fc.boolean() }),
  fc.record({ index: fc.nat(4), type: fc.constant("mem64" as const), size: power(4, 50), prefetchable: fc.boolean() }),
  fc.record({
    index: fc.nat(5),
    type: fc.constant("io" as const),
    size: power(2, 8),
    prefetchable: fc.constant(false),
  }),
  fc.record({
    index: fc.constant(ROM_BAR),
    type: fc.constant("rom" as const),
    size: power(11, 24),
    prefetchable: fc.constant(false),
  }),
);

/** Size as an operating system finds it: write ones, read back, isolate the address bits. */
function sizeOf(config: ConfigSpace, each: BarDescription): number {
  const at = barOffset(each.index);
  config.write(at, 4, 0xffffffff);
  const low = config.read(at, 4);
  const mask = { io: ~3, rom: ~0x7ff, mem32: ~0xf, mem64: ~0xf }[each.type];
  if (each.type !== "mem64") return (~(low & mask) + 1) >>> 0;
  config.write(at + 4, 4, 0xffffffff);
  const address = (BigInt(config.read(at + 4, 4)) << 32n) | BigInt((low & mask) >>> 0);
  return Number(BigInt.asUintN(64, ~address + 1n));
}

describe("pci configuration space: BARs", () => {
  test("sizing finds the size that was asked for, and addresses stick", () => {
    fc.assert(
      fc.property(bar, fc.nat(1000), (each, multiple) => {
        const config = new ConfigSpace();
        defineBar(config, each);
        expect(sizeOf(config, each)).toBe(each.size);
        const limit = each.type === "mem64" ? 2 ** 52 : 2 ** 32;
        const address = (multiple * each.size) % limit;
        writeBarAddress(config, each, address);
        expect(readBarAddress(config, each)).toBe(address);
      }),
    );
  });

  test("type bits are read-only", () => {
    const config = new ConfigSpace();
    defineBar(config, { index: 0, type: "mem64", size: 16384, prefetchable: true });
    defineBar(config, { index: 2, type: "io", size: 32, prefetchable: false });
    for (const at of [0x10, 0x18]) config.write(at, 4, 0);
    expect([config.read(0x10, 4), config.read(0x18, 4)]).toEqual([0xc, 1]);
    config.write(0x10, 4, 0xffffffff);
    expect(config.read(0x10, 4)).toBe(0xffffc00c);
  });

  test("writing a BAR bytewise equals writing it at once", () => {
    const config = new ConfigSpace();
    defineBar(config, { index: 0, type: "mem32", size: 4096, prefetchable: false });
    for (let i = 0; i < 4; i++) config.write(0x10 + i, 1, 0x12345678 >>> (i * 8));
    expect(config.read(0x10, 4)).toBe(0x12345000);
  });

  test.each([
    { index: 0, type: "mem32", size: 12 },
    { index: 0, type: "mem32", size: 8 },
    { index: 0, type: "io", size: 512 },
    { index: 5, type: "mem64", size: 4096 },
    { index: 6, type: "mem32", size: 4096 },
    { index: 6, type: "rom", size: 1024 },
    { index: 2, type: "rom", size: 4096 },
  ] as const)("%j cannot exist", (each) => {
    expect(() => defineBar(new ConfigSpace(), { ...each, prefetchable: false })).toThrow(
      expect.objectContaining({ code: "BAR_INVALID" }),
    );
  });
});

describe("pci configuration space: registers", () => {
  test("a write changes writable bits, clears RW1C bits and nothing else", () => {
    const dword = fc.nat(0xffffffff);
    fc.assert(
      fc.property(
        dword,
        dword,
        dword,
        dword,
        fc.constantFrom(1, 2, 4),
        fc.nat(3),
        (value, write, clear, data, size, offset) => {
          const config = new ConfigSpace();
          const rw1c = (clear & ~write) >>> 0;
          config.define(0x40, 4, { value, write, rw1c });
          const at = offset - (offset % size);
          config.write(0x40 + at, size as 1 | 2 | 4, data);
          const lanes = size === 4 ? 0xffffffff : (((1 << (size * 8)) - 1) << (at * 8)) >>> 0;
          const shifted = (data << (at * 8)) & lanes;
          const expected = (value & ~(write & lanes) & ~(shifted & rw1c)) | (shifted & write);
          expect(config.read(0x40, 4)).toBe(expected >>> 0);
        },
      ),
    );
  });

  test("outside the space reads give ones and writes vanish", () => {
    const config = new ConfigSpace();
    config.write(254, 4, 0);
    expect([config.read(256, 1), config.read(255, 2), config.read(-1, 4)]).toEqual([0xff, 0xffff, 0xffffffff]);
  });

  test("what survives which reset", () => {
    const config = new ConfigSpace(4096);
    config.define(0x40, 4, { value: 5, write: 0xffffffff, sticky: 0xff00, flrKept: 0xff0000 });
    const after = (kind: "flr" | "pm" | "bus" | "power"): number => {
      config.write(0x40, 4, 0xaaaaaaaa);
      config.reset(kind);
      return config.read(0x40, 4);
    };
    expect([after("flr"), after("pm"), after("bus"), after("power")]).toEqual([0xaaaa05, 0xaaaa05, 0xaa05, 5]);
  });
});

describe("pci configuration space: capabilities", () => {
  test("lists link in order of addition and find by id", () => {
    const config = new ConfigSpace(4096);
    const pm = config.addCapability(1, 8);
    const msi = config.addCapability(5, 14, 0x60);
    const next = config.addCapability(0x10, 60);
    const aer = config.addExtendedCapability(1, 2, 0x2c);
    const acs = config.addExtendedCapability(0xd, 1, 8);
    expect([...capabilities(config)]).toEqual([pm, msi, next]);
    expect([...extendedCapabilities(config)]).toEqual([aer, acs]);
    expect([pm, next, aer]).toEqual([0x40, 0x70, 0x100]);
    expect([config.findCapability(5), config.findExtendedCapability(0xd), config.findCapability(0x11)]).toEqual([
      0x60,
      acs,
      0,
    ]);
  });

  test("there is an end to the space", () => {
    const config = new ConfigSpace();
    config.addCapability(9, 0xc0);
    expect(() => config.addCapability(9, 4)).toThrow(PciError);
    expect(() => config.addExtendedCapability(1, 1, 8)).toThrow(expect.objectContaining({ code: "CAPABILITY_SPACE" }));
  });

  test("a list that loops ends the search", () => {
    const config = new ConfigSpace();
    const at = config.addCapability(9, 8);
    config.poke(at + 1, 1, at);
    expect(config.findCapability(5)).toBe(0);
  });

  test("COMMAND bits that do not exist stay clear, ids are read-only", () => {
    const { config } = passive({ vendor: 0x8086, device: 1, classCode: 0x020000 });
    config.write(0, 4, 0xffffffff);
    config.write(4, 2, 0xffff);
    expect([config.read(0, 4), config.read(4, 2), config.read(6, 2)]).toEqual([0x00018086, 0x0507, 0]);
  });
});
