// Finds kernel modules in an unpacked package and orders them for loading: what a module needs comes before it.
// A package that was never installed has no modules.dep, so the dependencies are read where it would come from: each
// module's own .modinfo. Modules that the kernel has built in are left out.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { gunzipSync } from "node:zlib";
import { CliError } from "../errors.ts";
import { moduleDependencies, moduleName } from "./modinfo.ts";
import { runTool } from "./process.ts";

export interface KernelModule {
  readonly name: string;
  /** Relative to the modules folder, without a compression suffix: "kernel/drivers/nvme/host/nvme.ko". */
  readonly path: string;
  /** Unpacked. */
  readonly bytes: Uint8Array;
}

/** `names` and everything they need, in loading order. `env` is for the unpacking tool. Throws CliError MODULE or NO_TOOL. */
export async function modulesFor(
  folder: string,
  names: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<KernelModule[]> {
  const files = new Map(findModules(folder).map((path) => [moduleName(path), path]));
  const builtin = builtinModules(folder);
  const ordered = new Map<string, KernelModule>();
  const open: string[] = [];
  const visit = async (name: string): Promise<void> => {
    if (ordered.has(name) || builtin.has(name)) return;
    if (open.includes(name)) throw moduleError(name, `needs itself: ${[...open, name].join(" -> ")}`);
    const path = files.get(name);
    if (path === undefined) throw moduleError(name, `is not in ${folder}`);
    const bytes = await unpack(join(folder, path), env);
    open.push(name);
    for (const dependency of moduleDependencies(bytes, path)) await visit(dependency);
    open.pop();
    ordered.set(name, { name, path: path.replace(/\.ko\.\w+$/, ".ko"), bytes });
  };
  for (const name of names) await visit(moduleName(name));
  return [...ordered.values()];
}

function findModules(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ko(\.(xz|gz|zst))?$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function builtinModules(folder: string): Set<string> {
  const list = join(folder, "modules.builtin");
  return new Set(existsSync(list) ? readFileSync(list, "utf8").split("\n").filter(Boolean).map(moduleName) : []);
}

async function unpack(path: string, env: NodeJS.ProcessEnv): Promise<Uint8Array> {
  if (path.endsWith(".ko")) return readFileSync(path);
  if (path.endsWith(".gz")) return gunzipSync(readFileSync(path));
  const tool = path.endsWith(".xz") ? "xz" : "zstd";
  const signal = new AbortController().signal;
  const { status, stdout, stderr } = await runTool(tool, ["-dc", path], { env, signal });
  if (status !== 0) throw moduleError(moduleName(path), `cannot be unpacked: ${stderr.trim()}`);
  return stdout;
}

function moduleError(name: string, why: string): CliError {
  return new CliError(`the kernel module ${name} ${why}`, {
    code: "MODULE",
    details: { name },
    hint: "fetch the image again: minivmm image rm, then pull",
  });
}
