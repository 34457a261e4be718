// `minivmm image pull|list|rm`: guest kernels in the user's cache.

import { watchSignals } from "../console/signals.ts";
import { CliError, EXIT_OK, usageError } from "../errors.ts";
import { ImageCache } from "../image/cache.ts";
import { IMAGES, type ImageSource } from "../image/catalog.ts";
import { type PullResult, pullImage } from "../image/pull.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { ImageRequest } from "../options/image-request.ts";
import { formatSize } from "../options/size.ts";
import { suggestion } from "../options/suggest.ts";
import { columns } from "../render/columns.ts";
import { noProgress, progressOn } from "../render/progress.ts";

/** Resolves with the exit status. Throws CliError. */
export async function image(request: ImageRequest, io: CliIo): Promise<number> {
  const cache = new ImageCache(request.cache, io.env);
  switch (request.action) {
    case "pull":
      return pull(cache, imageSource(request.name), request.json, io);
    case "list":
      return list(cache, request.json, io);
    case "rm":
      return remove(cache, imageSource(request.name).name, io);
  }
}

/** Throws CliError USAGE_OPTION for a name that is not in the catalog. */
export function imageSource(name: string | undefined): ImageSource {
  const names = Object.keys(IMAGES);
  if (name === undefined) throw usageError("no image is named", `known: ${names.join(", ")}`);
  const source = Object.hasOwn(IMAGES, name) ? IMAGES[name] : undefined;
  if (source !== undefined) return source;
  throw usageError(`unknown image "${name}"`, suggestion(name, names, `known: ${names.join(", ")}`));
}

/** Fetches an image into the cache, with progress; a signal ends it with everything tidied up. */
export async function fetchImage(
  cache: ImageCache,
  source: ImageSource,
  io: CliIo,
  quiet = false,
): Promise<PullResult> {
  const abort = new AbortController();
  const signals = watchSignals(() => abort.abort());
  const progress = quiet ? noProgress : progressOn(io.stderr);
  try {
    return await pullImage(source, { cache, progress, env: io.env, signal: abort.signal });
  } finally {
    signals.close();
  }
}

async function pull(cache: ImageCache, source: ImageSource, json: boolean, io: CliIo): Promise<number> {
  const { image: pulled, fetched } = await fetchImage(cache, source, io, json);
  if (json) io.stdout.write(`${JSON.stringify(pulled, null, 2)}\n`);
  else {
    const style = outStyle(io);
    io.stdout.write(
      `${style.good(pulled.name)}  ${pulled.package} ${pulled.version}${fetched ? "" : "  (was here already)"}\n`,
    );
    io.stdout.write(`  kernel   ${pulled.folder}/${pulled.kernel}\n  modules  ${pulled.folder}/${pulled.modules}\n`);
  }
  return EXIT_OK;
}

function list(cache: ImageCache, json: boolean, io: CliIo): number {
  const images = cache.list();
  if (json) {
    io.stdout.write(`${JSON.stringify(images, null, 2)}\n`);
    return EXIT_OK;
  }
  if (images.length === 0) {
    io.stdout.write(`no images in ${cache.folder}\n`);
    for (const { name, summary } of Object.values(IMAGES))
      io.stdout.write(`  minivmm image pull ${name}  # ${summary}\n`);
    return EXIT_OK;
  }
  const shape = ["NAME", "RELEASE", "VERSION", "KERNEL", "FOLDER"].map((title) => ({ title }));
  const rows = images.map((each) => [each.name, each.release, each.version, formatSize(each.bytes), each.folder]);
  const [header = "", ...lines] = columns(shape, rows);
  io.stdout.write(`${[outStyle(io).bold(header), ...lines].join("\n")}\n`);
  return EXIT_OK;
}

function remove(cache: ImageCache, name: string, io: CliIo): number {
  if (cache.remove(name)) {
    io.stdout.write(`removed ${name}\n`);
    return EXIT_OK;
  }
  throw new CliError(`the image is not there: ${name}: nothing of that name in ${cache.folder}`, {
    code: "NO_IMAGE",
    hint: "minivmm image list shows what is there",
  });
}
