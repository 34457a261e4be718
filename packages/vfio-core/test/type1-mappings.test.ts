// The ordered set of mappings: lookups agree with a plain list, also where leaves split and vanish.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DmaMapping } from "../src/model/type1/mapping.ts";
import { MappingSet } from "../src/model/type1/mapping-set.ts";
import { type1Host } from "./type1-fixture.ts";

const { process } = type1Host();
const mapping = (start: number, end: number) => new DmaMapping(start, end, 3, 0, process.mm);

describe("vfio-core type1 mapping set", () => {
  it("vfio-core type1 mappings: agree with a list", () => {
    const step = fc.record({ add: fc.boolean(), start: fc.nat(4000), pages: fc.integer({ min: 1, max: 3 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000, size: "max" }), (steps) => {
        const set = new MappingSet();
        let plain: DmaMapping[] = [];
        for (const { add, start, pages } of steps) {
          const hits = plain.filter((each) => each.start < start + pages && each.end > start);
          const first = hits.reduce<DmaMapping | null>(
            (low, each) => (low && low.start < each.start ? low : each),
            null,
          );
          expect(set.overlap(start, start + pages)).toBe(first);
          if (add && !first) {
            const fresh = mapping(start, start + pages);
            set.add(fresh);
            plain.push(fresh);
          } else if (!add && first) {
            set.remove(first);
            plain = plain.filter((each) => each !== first);
          }
        }
        plain.sort((a, b) => a.start - b.start);
        expect(set.all()).toEqual(plain);
        expect(set.size).toBe(plain.length);
        expect(set.overlapping(1000, 3000)).toEqual(plain.filter((each) => each.start < 3000 && each.end > 1000));
      }),
      { numRuns: 30 },
    );
  });

  it("vfio-core type1 mappings: thousands in any order stay ordered", () => {
    const set = new MappingSet();
    for (let i = 0; i < 5000; i++) set.add(mapping((i * 7919) % 5000, ((i * 7919) % 5000) + 1));
    expect(set.all().map(({ start }) => start)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
    for (let i = 0; i < 5000; i += 2) set.remove(set.overlap(i, i + 1) as DmaMapping);
    expect(set.size).toBe(2500);
    expect(set.overlap(0, 1)).toBeNull();
    expect(set.overlap(0, 2)?.start).toBe(1);
    expect(set.cuts(1, 2)).toBe(false);
  });
});
