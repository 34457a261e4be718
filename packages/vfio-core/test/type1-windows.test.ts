// The list of valid IOVA ranges: cut by apertures and reserved regions, never a hole inside an allowed range.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IovaWindows } from "../src/model/type1/windows.ts";

const list = (windows: IovaWindows) => windows.list.map(({ start, end }) => [start, end]);
const nothingMapped = () => false;

describe("vfio-core type1 IOVA windows", () => {
  it("vfio-core type1 windows: everything is valid before the first aperture", () => {
    const windows = new IovaWindows();
    expect(windows.allows(0, 2 ** 52)).toBe(true);
    expect(windows.conflictsWith(5, 10, () => true)).toBe(false);
    windows.resize(0, 100);
    expect(windows.allows(0, 100)).toBe(true);
    expect(windows.allows(99, 101)).toBe(false);
  });

  it("vfio-core type1 windows: a hole splits, a range never spans it", () => {
    const windows = new IovaWindows([{ start: 0, end: 100 }]);
    expect(windows.exclude([{ start: 40, end: 50 }])).toBe(true);
    expect(list(windows)).toEqual([
      [0, 40],
      [50, 100],
    ]);
    expect(windows.allows(39, 51)).toBe(false);
    expect(
      windows.exclude([
        { start: 0, end: 60 },
        { start: 60, end: 200 },
      ]),
    ).toBe(false);
  });

  it("vfio-core type1 windows: an aperture conflicts when it is disjoint or cuts mappings off", () => {
    const windows = new IovaWindows([{ start: 10, end: 100 }]);
    expect(windows.conflictsWith(100, 200, nothingMapped)).toBe(true);
    expect(windows.conflictsWith(0, 10, nothingMapped)).toBe(true);
    expect(windows.conflictsWith(20, 90, nothingMapped)).toBe(false);
    expect(windows.conflictsWith(20, 200, (start, end) => start === 10 && end === 20)).toBe(true);
    expect(windows.conflictsWith(0, 90, (start, end) => start === 90 && end === 100)).toBe(true);
  });

  it("vfio-core type1 windows: a group that leaves gives its holes back, but not the outermost bounds", () => {
    const windows = new IovaWindows([{ start: 0, end: 100 }]);
    windows.exclude([
      { start: 0, end: 5 },
      { start: 40, end: 50 },
    ]);
    windows.refresh([{ start: 60, end: 61 }]);
    expect(list(windows)).toEqual([
      [5, 60],
      [61, 100],
    ]);
    windows.expand(0, 200);
    expect(list(windows)).toEqual([
      [0, 60],
      [61, 200],
    ]);
    windows.refresh([]);
    expect(list(windows)).toHaveLength(2);
  });

  it("vfio-core type1 windows: agree with a set of pages", () => {
    const range = fc.tuple(fc.nat(60), fc.nat(20)).map(([start, length]) => ({ start, end: start + length + 1 }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), range, (holes, query) => {
        const windows = new IovaWindows([{ start: 0, end: 64 }]);
        const left = windows.exclude(holes);
        const free = (page: number) => page < 64 && !holes.some(({ start, end }) => page >= start && page < end);
        const pages = Array.from({ length: query.end - query.start }, (_, i) => query.start + i);
        const any = Array.from({ length: 64 }, (_, page) => page).some(free);
        return left === any && (!any || windows.allows(query.start, query.end) === pages.every(free));
      }),
    );
  });
});
