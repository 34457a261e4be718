// `image pull`: from a name in the catalog to an unpacked kernel in the cache. Everything happens in a temporary folder
// of the cache, which becomes the image by one rename at the end and goes away when anything fails.
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../errors.ts";
import type { Progress } from "../render/progress.ts";
import { PrivateApt } from "./apt.ts";
import type { CachedImage, ImageCache } from "./cache.ts";
import type { ImageSource } from "./catalog.ts";
import { runTool } from "./process.ts";

export interface PullOptions {
  readonly cache: ImageCache;
  readonly progress: Progress;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

export interface PullResult {
  readonly image: CachedImage;
  /** False: it was in the cache already and the network was not asked. */
  readonly fetched: boolean;
}

/** Throws CliError: NO_TOOL, NO_PACKAGE, UNPACK, CACHE, INTERRUPTED. */
export async function pullImage(source: ImageSource, options: PullOptions): Promise<PullResult> {
  const { cache, progress, env, signal } = options;
  const present = cache.find(source.name);
  if (present !== undefined) return { image: present, fetched: false };
  const work = cache.begin();
  try {
    const apt = new PrivateApt(join(work, "apt"), source.architecture, { env, signal });
    progress.step("package index");
    await apt.update((share) => progress.update(share));
    const name = await apt.firstDependency(source.metaPackage);
    progress.step(name);
    const file = await apt.download(name, (share) => progress.update(share));
    progress.step("unpacking");
    const files = join(work, "files");
    mkdirSync(files);
    const version = await packageVersion(file, options);
    const unpacked = await runTool("dpkg-deb", ["-x", file, files], { env, signal });
    if (unpacked.status !== 0) throw unpackError(name, unpacked.stderr.trim());
    rmSync(join(work, "apt"), { recursive: true, force: true });
    progress.done();
    return { image: cache.commit(files, describe(source, name, version, files)), fetched: true };
  } finally {
    progress.stop();
    cache.discard(work);
  }
}

async function packageVersion(file: string, { env, signal }: PullOptions): Promise<string> {
  const { stdout } = await runTool("dpkg-deb", ["-f", file, "Version"], { env, signal });
  return stdout.toString().trim();
}

function describe(source: ImageSource, name: string, version: string, folder: string) {
  const boot = join(folder, "boot");
  const kernel = readdirSync(boot).find((file) => file.startsWith(source.kernelPrefix));
  if (kernel === undefined) throw unpackError(name, `there is no boot/${source.kernelPrefix}* in it`);
  const release = kernel.slice(source.kernelPrefix.length);
  // Since Debian 13 packages unpack below usr/.
  const modules = [`lib/modules/${release}`, `usr/lib/modules/${release}`].find((path) => isFolder(join(folder, path)));
  if (modules === undefined) throw unpackError(name, `there are no modules for ${release} in it`);
  return {
    name: source.name,
    package: name,
    version,
    release,
    kernel: `boot/${kernel}`,
    modules,
    bytes: statSync(join(boot, kernel)).size,
    fetched: new Date().toISOString(),
  };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function unpackError(name: string, why: string): CliError {
  return new CliError(`the package cannot be used: ${name}: ${why}`, {
    code: "UNPACK",
    details: { name },
    hint: "is the disk full? otherwise the download was damaged: pull again",
  });
}
