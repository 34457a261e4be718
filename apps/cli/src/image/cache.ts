// Where fetched images live: one folder an image, with a description in image.json beside the unpacked files.
// Invariants: an image's folder is complete or absent (it is made elsewhere and renamed); names never leave the cache.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { CliError, reasonOf } from "../errors.ts";

const manifest = z.object({
  name: z.string(),
  package: z.string(),
  version: z.string(),
  /** Kernel release, as `uname -r` says in the guest. */
  release: z.string(),
  /** Kernel image, relative to the folder. */
  kernel: z.string(),
  /** Folder of the modules, relative to the folder. */
  modules: z.string(),
  bytes: z.number(),
  fetched: z.string(),
});

export type ImageManifest = z.infer<typeof manifest>;

export interface CachedImage extends ImageManifest {
  readonly folder: string;
}

const MANIFEST = "image.json";
const TEMPORARY = ".fetching-";
const DAY_MS = 86_400_000;

export class ImageCache {
  readonly folder: string;

  /** `folder` from the command line; else MINIVMM_CACHE, $XDG_CACHE_HOME/minivmm or ~/.cache/minivmm. */
  constructor(folder: string | undefined, env: Readonly<Record<string, string | undefined>>) {
    const set = (value: string | undefined): string | undefined => (value === "" ? undefined : value);
    const base = set(env.XDG_CACHE_HOME) ?? join(set(env.HOME) ?? homedir(), ".cache");
    this.folder = set(folder) ?? set(env.MINIVMM_CACHE) ?? join(base, "minivmm");
  }

  /** A complete image, or undefined. */
  find(name: string): CachedImage | undefined {
    const folder = join(this.folder, name);
    try {
      const read = manifest.parse(JSON.parse(readFileSync(join(folder, MANIFEST), "utf8")));
      return existsSync(join(folder, read.kernel)) ? { ...read, folder } : undefined;
    } catch {
      return undefined;
    }
  }

  list(): CachedImage[] {
    const names = existsSync(this.folder) ? readdirSync(this.folder).sort() : [];
    return names.filter((name) => !name.startsWith(".")).flatMap((name) => this.find(name) ?? []);
  }

  /** True when there was one. Throws CliError CACHE. */
  remove(name: string): boolean {
    const folder = join(this.folder, name);
    if (!existsSync(folder)) return false;
    this.guard(() => rmSync(folder, { recursive: true }));
    return true;
  }

  /** An empty folder on the cache's file system, for work that ends with commit() or discard(). Throws CliError CACHE. */
  begin(): string {
    return this.guard(() => {
      mkdirSync(this.folder, { recursive: true });
      this.sweep();
      return mkdtempSync(join(this.folder, TEMPORARY));
    });
  }

  /** Makes `from` the image of its name at one stroke. If somebody else was faster, theirs stays. Throws CliError CACHE. */
  commit(from: string, description: ImageManifest): CachedImage {
    return this.guard(() => {
      writeFileSync(join(from, MANIFEST), `${JSON.stringify(description, null, 2)}\n`);
      const folder = join(this.folder, description.name);
      const other = this.find(description.name);
      if (other !== undefined) return other;
      rmSync(folder, { recursive: true, force: true });
      renameSync(from, folder);
      return { ...description, folder };
    });
  }

  discard(temporary: string): void {
    rmSync(temporary, { recursive: true, force: true });
  }

  /** Removes what a fetch left that was killed: temporary folders that nobody has touched for a day. */
  private sweep(): void {
    for (const name of readdirSync(this.folder).filter((each) => each.startsWith(TEMPORARY))) {
      const path = join(this.folder, name);
      const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (Date.now() - touched > DAY_MS) rmSync(path, { recursive: true, force: true });
    }
  }

  private guard<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw new CliError(`the image cache cannot be changed: ${this.folder}: ${reasonOf(cause)}`, {
        code: "CACHE",
        details: { folder: this.folder },
        hint: "choose another folder with --cache DIR or MINIVMM_CACHE",
        cause,
      });
    }
  }
}
