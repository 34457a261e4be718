// Tracked files belong to everyone: no path of one machine, no address of one registry, no left-over notes.
// Patterns are put together from pieces, so that this file does not find itself.
import { describe, expect, it } from "vitest";
import { files, text } from "./tree.ts";

const slash = "/";
const MACHINE_PATH = new RegExp(`(?<![\\w.}~-])${slash}(?:work|root)${slash}[\\w.-]`);
const REGISTRY = new RegExp(["registry", "resolution: \\{.*tarball", "_auth" + "Token"].join("|"));
const LEFT_OVER = new RegExp(`\\b(?:${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const binary = /\.(png|gz|xz|bin|img|zst)$/;
const readable = files.filter((path) => !binary.test(path));

const linesWith = (pattern: RegExp, among: readonly string[]) =>
  among.flatMap((path) =>
    text(path)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );

describe("house: tracked files", () => {
  it("name no folder of the machine they were written on", () => {
    expect(linesWith(MACHINE_PATH, readable)).toEqual([]);
    expect(MACHINE_PATH.test(`cd ${slash}work${slash}x`)).toBe(true);
  });

  it("name no registry: the lock file holds versions and digests only", () => {
    const where = readable.filter((path) =>
      /(^|\/)(pnpm-lock\.yaml|package\.json|\.npmrc|pnpm-workspace\.yaml)$/.test(path),
    );
    expect(
      linesWith(
        /https?:\/\/(?!opencollective|github\.com|turborepo\.com)|tarball:/,
        where.filter((path) => path.endsWith(".yaml")),
      ),
    ).toEqual([]);
    expect(linesWith(REGISTRY, where)).toEqual([]);
  });

  it("hold no notes to the author", () => {
    expect(
      linesWith(
        LEFT_OVER,
        readable.filter((path) => /\.(ts|mjs|md)$/.test(path)),
      ),
    ).toEqual([]);
  });

  it("hold no generated or large files", () => {
    expect(files.filter((path) => /(^|\/)(node_modules|dist|reports|\.turbo)\//.test(path))).toEqual([]);
    expect(readable.filter((path) => path !== "pnpm-lock.yaml" && text(path).length > 2 ** 20)).toEqual([]);
  });
});
