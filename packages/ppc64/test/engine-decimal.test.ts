import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { r3, r4, r5, r6, r7 } from "../src/asm/index.ts";
import { Guest } from "./support/guest.ts";

const CODE = 0x10000;

describe("ppc64 engine: decimal assist", () => {
  // The sequence of Power ISA 3.0B Book I 3.3.9.1: add sixes, add, take back the sixes of digits without carry.
  it("adds packed decimal numbers with addg6s", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.li64(r5, 0x6666666666666666n);
      a.add(r5, r5, r3);
      a.addg6s(r6, r5, r4);
      a.add(r7, r5, r4);
      a.subf(r7, r6, r7);
      a.sc(1);
    });
    const decimal = fc.integer({ min: 0, max: 99_999_999 });
    fc.assert(
      fc.property(decimal, decimal, (x, y) => {
        guest.set(3, BigInt(`0x${x}`));
        guest.set(4, BigInt(`0x${y}`));
        guest.start(CODE);
        guest.stop();
        expect(guest.get(7).toString(16)).toBe(String(x + y));
      }),
    );
  });
});
