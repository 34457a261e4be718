// Reads the imports of a source file: static, re-exporting, type-only and dynamic ones, `import("x").T` types included.
// Only lines that begin with the keyword count, so examples inside comments do not.
import { posix } from "node:path";
import { text } from "./tree.ts";

const STATIC = /^\s*(?:import|export)\s(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
const LOADING = /^\s*(?:import|export)\s(?!type\s)(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
const AWAITED = /\bimport\(\s*["']([^"']+)["']\s*\)(?!\.[A-Z])/g;
const DYNAMIC = /\bimport\(\s*["']([^"']+)["']/g;

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/** Module specifiers that a source text names, as written. */
export function specifiers(source: string): string[] {
  const code = withoutComments(source);
  return [...code.matchAll(STATIC), ...code.matchAll(DYNAMIC)].map((match) => match[1] as string);
}

/** Those that are loaded together with a source text: types are not, and a dynamic import is when it is come to. */
export function loadedWith(source: string): string[] {
  return [...withoutComments(source).matchAll(LOADING)].map((match) => match[1] as string);
}

/** Those that a source text loads later, by dynamic imports; the types among these load nothing. */
export function loadedLater(source: string): string[] {
  return [...withoutComments(source).matchAll(AWAITED)].map((match) => match[1] as string);
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

/** Every circle in a graph: groups of nodes that all reach each other, each sorted; empty where there is none. */
export function findCircles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  const visit = (node: string): number => {
    const number = order.size;
    order.set(node, number);
    open.push(node);
    let low = number;
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) low = Math.min(low, visit(next));
      else if (open.includes(next)) low = Math.min(low, order.get(next) as number);
    }
    if (low === number) {
      const group = open.splice(open.indexOf(node));
      if (group.length > 1 || graph.get(node)?.includes(node)) circles.push(group.sort());
    }
    return low;
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return circles;
}
