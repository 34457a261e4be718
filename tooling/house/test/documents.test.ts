// Documents tell the truth: a README's program is a file in examples/ that CI runs, links lead somewhere, and every
// package has what a reader and a registry need. A block is marked as an example by its first line, `// examples/x.ts`,
// or by an HTML comment before it, `<!-- example: examples/x.ts -->`; the rest of the block is then that whole file
// (the file's opening comment may be left out).
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, it } from "vitest";
import { files, packages, root, text } from "./tree.ts";

interface Block {
  language: string;
  body: string;
  example: string | null;
}

const BLOCK = /(?:<!--\s*example:\s*(\S+)\s*-->\s*\n+)?^```(\w*)[^\n]*\n([\s\S]*?)^```/gm;

function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(BLOCK)].map(([, marked, language = "", body = ""]) => {
    const first = /^\/\/ (?:\.\/)?(examples\/\S+\.ts)\s*\n/.exec(body);
    if (marked !== undefined) return { language, body, example: marked };
    return { language, body: first ? body.slice(first[0].length) : body, example: first?.[1] ?? null };
  });
}

const squeeze = (source: string) => source.replace(/\s+$/gm, "").trim();
const withoutHeader = (source: string) => source.replace(/^(\/\/[^\n]*\n)+\n?/, "");

describe("house: documents", () => {
  it("marked blocks are found both ways", () => {
    const markdown = "```ts\n// examples/a.ts\nlet a;\n```\n<!-- example: examples/b.ts -->\n```ts\nlet b;\n```\n";
    expect(blocks(markdown)).toEqual([
      { language: "ts", body: "let a;\n", example: "examples/a.ts" },
      { language: "ts", body: "let b;\n", example: "examples/b.ts" },
    ]);
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

    it(`${manifest.name}: the README's programs are the files that CI runs`, () => {
      if (!files.includes(readme)) throw new Error(`${readme} does not exist`);
      for (const { body, example } of blocks(text(readme)).filter((block) => block.example !== null)) {
        const path = `${folder}/${example}`;
        const source = files.includes(path) ? text(path) : "";
        const expected = squeeze(source) === squeeze(body) ? source : withoutHeader(source);
        expect(squeeze(body), `${readme} differs from ${path}`).toBe(squeeze(expected));
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
