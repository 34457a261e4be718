import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatBdf, makeBdf, PciError, parseBdf, requesterIdOf } from "../src/index.ts";

describe("pci bdf", () => {
  test("format and parse are inverse", () => {
    const bdf = fc.record({
      domain: fc.nat(0xffffffff),
      bus: fc.nat(0xff),
      device: fc.nat(0x1f),
      function: fc.nat(7),
    });
    fc.assert(
      fc.property(bdf, (each) => {
        expect(parseBdf(formatBdf(each))).toEqual(each);
      }),
    );
  });

  test("the domain may be left out", () => {
    expect(formatBdf(parseBdf("1a:1f.7"))).toBe("0000:1a:1f.7");
    expect(requesterIdOf(parseBdf("1a:1f.7"))).toBe(0x1aff);
  });

  test.each(["", "1", "1:2", "zz:00.0", "00:00:00:00.0", "00:00.", "0:00.0 ", "000:00:00.0"])(
    "%j is no address",
    (text) => {
      expect(() => parseBdf(text)).toThrow(expect.objectContaining({ code: "BDF_SYNTAX", details: { text } }));
    },
  );

  test.each(["00:20.0", "00:1f.8"])("%s is out of range", (text) => {
    expect(() => parseBdf(text)).toThrow(PciError);
    expect(() => parseBdf(text)).toThrow(expect.objectContaining({ code: "BDF_RANGE" }));
  });

  test("numbers are checked like text", () => {
    expect(() => makeBdf(0, 256, 0, 0)).toThrow("PCI bus 256 is outside 0..0xff");
  });
});
