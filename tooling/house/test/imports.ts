// Reads the imports of a source file: static, re-exporting, type-only and dynamic ones, `import("x").T` types included.
// Only lines that begin with the keyword count, so examples inside comments do not.
import { posix } from "node:path";
import { text } from "./tree.ts";

const STATIC = /^\s*(?:import|export)\s(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
const DYNAMIC = /\bimport\(\s*["']([^"']+)["']/g;

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/** Module specifiers that a source text names, as written. */
export function specifiers(source: string): string[] {
  const code = withoutComments(source);
  return [...code.matchAll(STATIC), ...code.matchAll(DYNAMIC)].map((match) => match[1] as string);
}

/** Specifiers of a file of the project, by path relative to the root. */
export function importsOf(path: string): string[] {
  return specifiers(text(path));
}

/** The file that a relative specifier means, relative to the root; null for a package or builtin. */
export function resolveRelative(from: string, specifier: string): string | null {
  return specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier) : null;
}

/** `@minivmm/pci/devices` -> `@minivmm/pci`, `yargs/helpers` -> `yargs`. */
export function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** One circle in a graph, as the nodes along it, or null. */
export function findCircle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (node: string): string[] | null => {
    const at = trail.indexOf(node);
    if (at >= 0) return [...trail.slice(at), node];
    if (done.has(node)) return null;
    trail.push(node);
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next);
      if (circle) return circle;
    }
    trail.pop();
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const circle = visit(node);
    if (circle) return circle;
  }
  return null;
}
