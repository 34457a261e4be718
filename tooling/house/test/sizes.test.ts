// One concept a file: below 500 lines always, above 350 it is named in the test's output as a candidate for two files.
// Every source file opens with a comment that says what it holds.
import { describe, expect, it } from "vitest";
import { files, sources, text } from "./tree.ts";

const MAX_LINES = 500;
const LONG_LINES = 350;
const lines = (path: string) => text(path).trimEnd().split("\n").length;
const code = files.filter((path) => /\.(ts|mjs)$/.test(path) && /^(packages|apps|tooling|scripts)\//.test(path));

describe("house: files", () => {
  it(`no file of code has more than ${MAX_LINES} lines`, () => {
    const counted = code.map((path) => ({ path, count: lines(path) }));
    const long = counted.filter(({ count }) => count > LONG_LINES).sort((a, b) => b.count - a.count);
    if (long.length > 0) console.log(long.map(({ path, count }) => `long: ${count} lines: ${path}`).join("\n"));
    expect(long.filter(({ count }) => count >= MAX_LINES)).toEqual([]);
    expect(counted.length).toBeGreaterThan(10);
  });

  it("every source file starts with a comment that says what it is", () => {
    const bare = sources().filter((path) => !/^(#![^\n]*\n)?\s*(\/\/\s*\S|\/\*)/.test(text(path)));
    expect(bare).toEqual([]);
  });

  it("sources import files by their .ts name and use no `any` escape", () => {
    const wrong = sources().filter((path) => /@ts-(ignore|nocheck)|biome-ignore-all/.test(text(path)));
    expect(wrong).toEqual([]);
  });
});
