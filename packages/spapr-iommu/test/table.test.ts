import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isAligned, pageNumber, powernvTableSize, TceArena, TceTable, type TceTableShape } from "../src/model/index.ts";

const shape = { start: 0n, pageShift: 12, entries: 64, levels: 1, allocatedBytes: 0, writeImpliesRead: false };

function tableOf(shape: TceTableShape, arena = new TceArena()): TceTable {
  const table = TceTable.create(shape, arena);
  if (typeof table === "number") throw new Error("the arena is full");
  return table;
}

describe("spapr-iommu TCE table", () => {
  it("stores what was exchanged, like a map", () => {
    const operation = fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 2 ** 39 }), fc.integer({ min: 0, max: 3 }));
    fc.assert(
      fc.property(fc.array(operation), fc.boolean(), (operations, large) => {
        const table = tableOf({ ...shape, entries: large ? 2 ** 40 : 64, levels: large ? 4 : 1 });
        const spread = large ? 2 ** 33 : 1;
        const model = new Map<number, { page: number; permission: number }>();
        for (const [index, frame, permission] of operations) {
          const entry = index * spread;
          expect(table.exchange(entry, frame * 4096, permission)).toBe(model.get(entry)?.permission ?? 0);
          if (permission === 0) model.delete(entry);
          else model.set(entry, { page: frame * 4096, permission });
        }
        expect(table.live).toBe(model.size);
        for (const [entry, { page, permission }] of model) {
          expect(table.page(entry)).toBe(page);
          expect(table.permission(entry)).toBe(permission);
        }
      }),
    );
  });

  it("lets hardware read what it may write, where the hardware is IODA", () => {
    const table = tableOf({ ...shape, writeImpliesRead: true });
    table.exchange(1, 0x5000, 2);
    expect(table.permission(1)).toBe(3);
    expect(table.exchange(1, 0, 0)).toBe(3);
  });

  it("finds the entry of any bus address in its window and of none outside", () => {
    const start = 1n << 59n;
    const window = tableOf({ ...shape, start, pageShift: 16, entries: 2 ** 20 });
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 36n) - 1n }), (offset) => {
        const address = start + offset;
        expect(window.entryOf(Number(address >> 32n), Number(address & 0xffffffffn))).toBe(Number(offset >> 16n));
      }),
    );
    expect(window.entryOf(2 ** 27 - 1, 0xffffffff)).toBe(-1);
    expect(window.entryOf(2 ** 27 + 16, 0)).toBe(-1);
    expect(window.entryOf(0, 0)).toBe(-1);
  });

  it("splits 64-bit numbers exactly for every page size", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.integer({ min: 12, max: 34 }), (value, shift) => {
        const hi = Number(value >> 32n);
        const lo = Number(value & 0xffffffffn);
        expect(BigInt(pageNumber(hi, lo, shift))).toBe(value >> BigInt(shift));
        expect(isAligned(hi, lo, shift)).toBe((value & ((1n << BigInt(shift)) - 1n)) === 0n);
      }),
    );
  });
});

describe("spapr-iommu window size on powernv", () => {
  const GIB = 1n << 30n;
  it.each([
    ["2 GiB in 4 KiB pages", { pageShift: 12, windowSize: 2n * GIB, levels: 1 }, 4 * 2 ** 20],
    ["2 GiB in 64 KiB pages", { pageShift: 16, windowSize: 2n * GIB, levels: 1 }, 256 * 1024],
    ["1 TiB in 64 KiB pages, 2 levels", { pageShift: 16, windowSize: 1024n * GIB, levels: 2 }, 2049 * 65536],
    ["one page", { pageShift: 12, windowSize: 4096n, levels: 1 }, 65536],
    ["no power of two", { pageShift: 12, windowSize: 3n * GIB, levels: 1 }, 0],
    ["no level", { pageShift: 12, windowSize: GIB, levels: 0 }, 0],
    ["six levels", { pageShift: 12, windowSize: GIB, levels: 6 }, 0],
    ["nothing", { pageShift: 12, windowSize: 0n, levels: 1 }, 0],
    ["less than a page", { pageShift: 16, windowSize: 4096n, levels: 1 }, 0],
  ])("%s", (_what, request, bytes) => {
    expect(powernvTableSize(request, 65536)).toBe(bytes);
  });
});
