// Which pages of a passed-through function's BARs the guest may reach without an exit.
import type { Msix } from "@minivmm/pci";
import type { RegionInfo } from "@minivmm/vfio-core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mappableParts } from "../src/pci/mapped-bars.ts";

const PAGE = 4096;
const MAPPABLE = 7;
const bar = (size: number) => ({ index: 0, type: "mem64" as const, size, prefetchable: false });
const device = (region: Partial<RegionInfo> & { size: number }) => ({
  region: (index: number): RegionInfo => ({ index, offset: 0, flags: MAPPABLE, capabilities: [], ...region }),
});
const msixAt = (tableOffset: number, vectors: number, pbaOffset: number, index = 0): Msix =>
  ({ bar: index, tableOffset, vectors, pbaOffset, table: new Uint32Array(vectors * 4) }) as unknown as Msix;

function sparse(areas: readonly (readonly [number, number])[]): RegionInfo["capabilities"] {
  const view = new DataView(new ArrayBuffer(16 + areas.length * 16));
  view.setUint16(0, 1, true);
  view.setUint16(2, 1, true);
  view.setUint32(8, areas.length, true);
  areas.forEach(([offset, size], i) => {
    view.setBigUint64(16 + i * 16, BigInt(offset), true);
    view.setBigUint64(24 + i * 16, BigInt(size), true);
  });
  return [{ id: 1, version: 1, bytes: new Uint8Array(view.buffer) }];
}

describe("vmm passthrough: BARs without exits", () => {
  it("shows a whole BAR that the host maps", () => {
    expect(mappableParts(device({ size: 0x4000 }), bar(0x4000), null, PAGE)).toEqual([{ offset: 0, size: 0x4000 }]);
  });

  it("traps what the host does not map, and what is smaller than a page", () => {
    expect(mappableParts(device({ size: 0x4000, flags: 3 }), bar(0x4000), null, PAGE)).toEqual([]);
    expect(mappableParts(device({ size: 0x400 }), bar(0x400), null, PAGE)).toEqual([]);
  });

  it("leaves out the pages of the MSI-X table and the pending bits", () => {
    expect(mappableParts(device({ size: 0x4000 }), bar(0x4000), msixAt(0x2000, 65, 0x3000), PAGE)).toEqual([
      { offset: 0, size: 0x2000 },
    ]);
    expect(mappableParts(device({ size: 0x4000 }), bar(0x4000), msixAt(0x1010, 4, 0x1800), PAGE)).toEqual([
      { offset: 0, size: 0x1000 },
      { offset: 0x2000, size: 0x2000 },
    ]);
    expect(mappableParts(device({ size: 0x4000 }), bar(0x4000), msixAt(0, 4, 0x800, 1), PAGE)).toEqual([
      { offset: 0, size: 0x4000 },
    ]);
  });

  it("keeps to the areas that the host names, in whole pages", () => {
    const capabilities = sparse([
      [0, 0x1800],
      [0x2800, 0x1800],
    ]);
    expect(mappableParts(device({ size: 0x4000, capabilities }), bar(0x4000), null, PAGE)).toEqual([
      { offset: 0, size: 0x1000 },
      { offset: 0x3000, size: 0x1000 },
    ]);
  });

  it("cuts what is too large for one view", () => {
    const parts = mappableParts(device({ size: 2 ** 32 }), bar(2 ** 32), null, PAGE);
    expect(parts.map(({ offset }) => offset)).toEqual([0, 2 ** 30, 2 ** 31, 3 * 2 ** 30]);
  });

  it("never shows a byte of the MSI-X structures, and every page without one", () => {
    const size = 16 * PAGE;
    fc.assert(
      fc.property(fc.nat(size / 8 - 1), fc.integer({ min: 1, max: 256 }), fc.nat(size / 8 - 1), (t, vectors, p) => {
        const [table, pba] = [t * 8, p * 8];
        const parts = mappableParts(device({ size }), bar(size), msixAt(table, vectors, pba), PAGE);
        const shown = (page: number): boolean =>
          parts.some(({ offset, size: length }) => page * PAGE >= offset && (page + 1) * PAGE <= offset + length);
        const touches = (page: number, from: number, length: number): boolean =>
          from < (page + 1) * PAGE && from + length > page * PAGE;
        for (let page = 0; page < size / PAGE; page++) {
          const ours = touches(page, table, vectors * 16) || touches(page, pba, Math.ceil(vectors / 64) * 8);
          expect(shown(page)).toBe(!ours);
        }
      }),
    );
  });
});
