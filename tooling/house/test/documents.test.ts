// Documents tell the truth: every TypeScript block of a package's README is an excerpt of a program in its
// examples/ (whole lines in their order, some may be left out), all of which CI runs; a block whose first line is `// examples/x.ts` is that whole file,
// without its opening comment if you like. Links lead somewhere, and a package has what readers and registries need.
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, it } from "vitest";
import { files, packages, root, text } from "./tree.ts";

interface Block {
  body: string;
  /** The example that the block claims to be as a whole. */
  example: string | null;
}

function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(?:ts|typescript)\b[^\n]*\n([\s\S]*?)^```/gm)].map(([, body = ""]) => {
    const first = /^\/\/ (?:\.\/)?(examples\/\S+\.ts)\s*\n/.exec(body);
    return { body: first ? body.slice(first[0].length) : body, example: first?.[1] ?? null };
  });
}

/** Lines without indentation and without blank ones, so that an excerpt may be moved to the margin. */
const squeeze = (source: string) =>
  source
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
const withoutHeader = (source: string) => source.replace(/^(\/\/[^\n]*\n)+\n?/, "");
const isExcerpt = (source: string, body: string) => {
  const lines = squeeze(source).split("\n");
  let at = 0;
  for (const line of squeeze(body).split("\n")) {
    const found = lines.indexOf(line, at);
    if (found < 0) return false;
    at = found + 1;
  }
  return true;
};

describe("house: documents", () => {
  it("blocks are found and compared as excerpts", () => {
    const markdown = "```ts\n// examples/a.ts\nlet a;\n```\n```sh\nls\n```\n```ts\nlet b;\n```\n";
    expect(blocks(markdown)).toEqual([
      { body: "let a;\n", example: "examples/a.ts" },
      { body: "let b;\n", example: null },
    ]);
    expect(isExcerpt("// head\n{\n  let b;\n\n  let c;\n}\n", "let b;\nlet c;\n")).toBe(true);
    expect(isExcerpt("let b;\nlet x;\nlet c;\n", "let b;\nlet c;\n")).toBe(true);
    expect(isExcerpt("let c;\nlet b;\n", "let b;\nlet c;\n")).toBe(false);
    expect(isExcerpt("let bc;\n", "let b")).toBe(false);
  });

  for (const { folder, manifest } of packages) {
    const readme = `${folder}/README.md`;

    it(`${manifest.name}: has README, tests, exports, licence and description`, () => {
      expect({
        readme: files.includes(readme),
        tests: files.some((path) => path.startsWith(`${folder}/test/`) && path.endsWith(".test.ts")),
        exports: Object.keys(manifest.exports ?? {}).includes("."),
        license: manifest.license,
        description: (manifest.description ?? "") !== "",
        type: manifest.type,
      }).toEqual({ readme: true, tests: true, exports: true, license: "MIT", description: true, type: "module" });
    });

    it(`${manifest.name}: the README's programs are those that CI runs`, () => {
      const programs = files.filter((path) => path.startsWith(`${folder}/examples/`) && path.endsWith(".ts"));
      for (const { body, example } of blocks(files.includes(readme) ? text(readme) : "")) {
        if (example === null) {
          const found = programs.some((path) => isExcerpt(text(path), body));
          expect(found, `${readme}: no example contains\n${body}`).toBe(true);
        } else {
          const source = files.includes(`${folder}/${example}`) ? text(`${folder}/${example}`) : "";
          const whole = [source, withoutHeader(source)].map(squeeze);
          expect(whole, `${readme} differs from ${example}`).toContain(squeeze(body));
        }
      }
    });

    it(`${manifest.name}: every example is run by the package's examples script`, () => {
      const programs = files.filter((path) => path.startsWith(`${folder}/examples/`) && path.endsWith(".ts"));
      const script = manifest.scripts?.examples ?? "";
      expect(programs.filter((path) => !script.includes(posix.basename(path)))).toEqual([]);
    });
  }

  it("relative links in documents lead to files", () => {
    const dead = files
      .filter((path) => path.endsWith(".md"))
      .flatMap((path) =>
        [...text(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
          .map((match) => posix.join(posix.dirname(path), match[1] as string))
          .filter((target) => !existsSync(join(root, target)))
          .map((target) => `${path}: ${target}`),
      );
    expect(dead).toEqual([]);
  });
});
