import { describe, expect, test } from "vitest";
import { ENOENT, lockedBytes } from "../src/index.ts";

const status = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("host locked memory", () => {
  test("VmLck is found among the other lines, in bytes", () => {
    expect(lockedBytes(status("VmSize:\t    9000 kB\nVmLck:\t     192 kB\nVmPin:\t      64 kB\n"))).toBe(192 * 1024);
    expect(lockedBytes(status("VmLck:\t       0 kB\n"))).toBe(0);
  });

  test("a host that does not tell gives null", () => {
    expect([lockedBytes(-ENOENT), lockedBytes(status("Name:\tnode\n")), lockedBytes(status("xVmLck: 1 kB\n"))]).toEqual(
      [null, null, null],
    );
  });
});
