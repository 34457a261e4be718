// The floors of the house: a package imports only from floors below its own, never sideways, not even types.
// The same table stands in ARCHITECTURE.md for people.
import { describe, expect, it } from "vitest";
import { findCircles, importsOf, packageOf, resolveRelative, specifiers } from "./imports.ts";
import { files, packages, sources } from "./tree.ts";

const FLOORS: Record<string, number> = {
  "@minivmm/host": 0,
  "@minivmm/ppc64": 0,
  "@minivmm/x86asm": 0,
  "@minivmm/kvm": 1,
  "@minivmm/pci": 1,
  "@minivmm/vfio-core": 2,
  "@minivmm/kvm-device": 3,
  "@minivmm/pci-hotreset": 3,
  "@minivmm/spapr-iommu": 3,
  "@minivmm/model-host": 4,
  "@minivmm/vmm": 5,
  "@minivmm/conformance": 5,
  minivmm: 6,
};

const all = packages.flatMap(({ folder, manifest }) =>
  sources(`${folder}/`).flatMap((file) => importsOf(file).map((specifier) => ({ manifest, file, specifier }))),
);
const own = (specifier: string) => packageOf(specifier) in FLOORS;

describe("house: imports are read", () => {
  it("finds static, type, re-exporting, side-effect and dynamic imports, not those in comments", () => {
    const source = [
      'import a, { b } from "./one.ts";',
      'import type {\n  C,\n} from "two";',
      'export * from "three";',
      'import "four";',
      'const five = await import("five");',
      'type Six = import("six").Six;',
      '// import x from "no";',
      '/**\n * import y from "no";\n */',
    ].join("\n");
    expect(specifiers(source)).toEqual(["./one.ts", "two", "three", "four", "five", "six"]);
  });
  it("finds every circle and who is in it", () => {
    const graph = new Map([
      ["a", ["b", "d"]],
      ["b", ["c"]],
      ["c", ["b"]],
      ["d", ["e"]],
      ["e", ["f", "c"]],
      ["f", ["d"]],
      ["g", ["g"]],
    ]);
    expect(findCircles(graph)).toEqual([["b", "c"], ["d", "e", "f"], ["g"]]);
    expect(findCircles(new Map([["a", ["b"]]]))).toEqual([]);
  });
});

describe("house: floors", () => {
  it("every package has a floor", () => {
    expect(packages.map(({ manifest }) => manifest.name).filter((name) => !(name in FLOORS))).toEqual([]);
  });

  it("packages import only from lower floors", () => {
    const wrong = all
      .filter(({ manifest, specifier }) => own(specifier) && packageOf(specifier) !== manifest.name)
      .filter(({ manifest, specifier }) => FLOORS[packageOf(specifier)]! >= FLOORS[manifest.name]!)
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("a package's own files are imported by relative path, inside its src/", () => {
    const wrong = all
      .filter(({ manifest, file, specifier }) => {
        const target = resolveRelative(file, specifier);
        if (target === null) return packageOf(specifier) === manifest.name;
        return !target.startsWith(`${file.split("/src/")[0]}/src/`) || !files.includes(target);
      })
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("what a package imports is among its dependencies", () => {
    const wrong = all
      .filter(({ specifier }) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
      .filter(({ manifest, specifier }) => !(packageOf(specifier) in (manifest.dependencies ?? {})))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("there are no circles between packages", () => {
    const graph = new Map(packages.map(({ manifest }) => [manifest.name, Object.keys(manifest.dependencies ?? {})]));
    expect(findCircles(graph)).toEqual([]);
  });

  it("there are no circles between files", () => {
    const graph = new Map<string, string[]>();
    for (const { file, specifier } of all) {
      const target = resolveRelative(file, specifier);
      if (target !== null) graph.set(file, [...(graph.get(file) ?? []), target]);
    }
    expect(findCircles(graph)).toEqual([]);
  });
});

describe("house: rooms", () => {
  const room = (path: string) => /\/src\/(client|model)\//.exec(path)?.[1];

  it("client and model never import each other", () => {
    const wrong = all.filter(({ file, specifier }) => {
      const from = room(file);
      const target = resolveRelative(file, specifier);
      if (from === undefined) return false;
      if (target === null) return from === "client" && own(specifier) && specifier.endsWith("/model");
      const to = room(target);
      return to !== undefined && to !== from;
    });
    expect(wrong.map(({ file, specifier }) => `${file} imports ${specifier}`)).toEqual([]);
  });

  it("the VMM knows clients only: no model, no modelled host", () => {
    const wrong = all
      .filter(({ manifest }) => manifest.name === "@minivmm/vmm")
      .filter(
        ({ specifier }) => own(specifier) && (specifier.endsWith("/model") || specifier === "@minivmm/model-host"),
      );
    expect(wrong.map(({ file, specifier }) => `${file} imports ${specifier}`)).toEqual([]);
  });
});
