// Which values count as equal.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { differingFields, normalText } from "../src/compare.ts";

describe("conformance compare", () => {
  it("a number is the same in every spelling", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        expect(normalText(`0x${value.toString(16)}`)).toBe(normalText(value));
        if (value <= BigInt(Number.MAX_SAFE_INTEGER)) expect(normalText(Number(value))).toBe(normalText(value));
      }),
    );
  });

  it("text is not a number, order of keys means nothing, order of a list does", () => {
    expect(normalText("12")).not.toBe(normalText(12));
    expect(normalText({ a: 1, b: ["0x2"] })).toBe(normalText({ b: [2n], a: "0x1" }));
    expect(normalText([1, 2])).not.toBe(normalText([2, 1]));
  });

  it("missing and additional fields are differences too", () => {
    expect(differingFields({ a: 1, b: "x" }, { b: "x", c: [] })).toEqual([
      ["a", "1", "nothing"],
      ["c", "nothing", "[]"],
    ]);
  });
});
