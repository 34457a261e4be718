// What the house's checks look at: the workspace's packages and its tracked files, read once.
// Without git (an unpacked archive) the tree is walked instead, leaving out what .gitignore leaves out.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
const GENERATED = new Set([".git", "node_modules", "dist", "reports", ".turbo", "coverage"]);

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (GENERATED.has(entry.name)) return [];
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    return entry.isDirectory() ? walk(path) : [path];
  });
}

function listFiles(): string[] {
  const git = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const files = git.status === 0 ? git.stdout.split("\0").filter((path) => path !== "") : walk("");
  return [...new Set(files)].filter((path) => existsSync(join(root, path))).sort();
}

/** Every file of the project that is or would be tracked, relative to the root. */
export const files: readonly string[] = listFiles();

/** Text of a file, by its path relative to the root. */
export function text(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export interface Manifest {
  name: string;
  private?: boolean;
  license?: string;
  description?: string;
  type?: string;
  exports?: Record<string, unknown>;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

export interface Package {
  /** Relative to the root, as `packages/pci`. */
  folder: string;
  manifest: Manifest;
}

/** The packages that are released: everything in packages/ and apps/. */
export const packages: readonly Package[] = files
  .filter((path) => /^(packages|apps)\/[^/]+\/package\.json$/.test(path))
  .map((path) => ({
    folder: path.slice(0, -"/package.json".length),
    manifest: JSON.parse(text(path)) as Manifest,
  }));

/** Source files (TypeScript in src/) of every released package, or of one. */
export function sources(folder = ""): string[] {
  return files.filter((path) => /^(packages|apps)\/[^/]+\/src\/.*\.ts$/.test(path) && path.startsWith(folder));
}
