// The kernel that the rig boots, whose package it keeps in its cache: the modules that a guest of it needs, in loading
// order, and the headers that a module of our own is compiled against (Debian's packages, unpacked beside it).
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

export const RIG = process.env.MINIVMM_RIG ?? "";
const CACHE = process.env.RIG_CACHE ?? join(RIG, "cache");

/** What a tool printed. Throws with its last words if it failed. */
export function tool(command: string, args: readonly string[], cwd?: string): Buffer {
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd, maxBuffer: 1 << 28 });
  if (error) throw new Error(`${command} cannot be started: ${error.message}`);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")} ended with ${status}:\n${`${stdout}${stderr}`.slice(-2000)}`);
}

export interface Kernel {
  /** As the rig's --kernel takes it: "6.12". */
  readonly version: string;
  /** As uname -r says it. */
  readonly release: string;
  /** Folder lib/modules/RELEASE. */
  readonly modules: string;
}

/** Has the rig fetch and unpack what it needs to boot `version`. */
export function prepareKernel(version: string): Kernel {
  tool(join(RIG, "rig.sh"), ["--kernel", version, "--prepare"]);
  const line = readFileSync(join(CACHE, "kernels"), "utf8")
    .split("\n")
    .find((each) => each.startsWith(`${version} `));
  const name =
    line
      ?.split(" ")[1]
      ?.replace(/^linux-image-/, "")
      .replace(/-unsigned$/, "") ?? version;
  const unpacked = join(CACHE, "k", name);
  const found = ["lib/modules", "usr/lib/modules"].map((each) => join(unpacked, each)).find((each) => existsSync(each));
  const [release] = found === undefined ? [] : readdirSync(found);
  if (found === undefined || release === undefined) throw new Error(`the rig unpacked no modules of Linux ${version}`);
  return { version, release, modules: join(found, release) };
}

export interface Module {
  readonly name: string;
  readonly bytes: Buffer;
}

const moduleName = (path: string): string =>
  basename(path)
    .replace(/\.ko.*$/, "")
    .replaceAll("-", "_");

/** `names` and all that they need, each after what it needs; `own` are modules that are not the kernel's. */
export function modulesFor(kernel: Kernel, names: readonly string[], own: ReadonlyMap<string, Buffer>): Module[] {
  const builtin = new Set(readFileSync(join(kernel.modules, "modules.builtin"), "utf8").split("\n").map(moduleName));
  const files = moduleFiles(kernel);
  const done = new Map<string, Module>();
  const visit = (name: string, optional: boolean): void => {
    const path = files.get(name);
    const given = own.get(name);
    if (done.has(name) || builtin.has(name) || (path === undefined && given === undefined && optional)) return;
    if (given !== undefined) {
      done.set(name, { name, bytes: given });
      return;
    }
    if (path === undefined) throw new Error(`Linux ${kernel.release} has no module ${name}`);
    const field = (which: string): string => tool("modinfo", ["-F", which, path]).toString();
    for (const each of field("depends").split(/[,\s]+/)) if (each !== "") visit(moduleName(each), false);
    for (const [, pre = ""] of field("softdep").matchAll(/pre: (.*)/g)) {
      for (const each of pre.trim().split(/\s+/)) visit(moduleName(each), true);
    }
    done.set(name, { name, bytes: path.endsWith(".xz") ? tool("xz", ["-dc", path]) : readFileSync(path) });
  };
  for (const name of names) visit(name, false);
  return [...done.values()];
}

function moduleFiles({ modules }: Kernel): Map<string, string> {
  const paths = readdirSync(modules, { recursive: true, encoding: "utf8" }).filter((each) => /\.ko(\.xz)?$/.test(each));
  return new Map(paths.map((each) => [moduleName(each), join(modules, each)]));
}

/** Compiles the module NAME.c at `source`, with headers that are fetched once. Throws if it cannot be done. */
export function compileModule(kernel: Kernel, source: string, work: string): Buffer {
  const name = basename(source, ".c");
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, `${name}.c`), readFileSync(source));
  writeFileSync(join(work, "Kbuild"), `obj-m := ${name}.o\n`);
  // The compiler is this machine's, whichever built the kernel; type information for BPF needs a tool that few have.
  const words = ["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"];
  tool("make", ["-s", "-C", headersOf(kernel), `M=${work}`, ...words]);
  return readFileSync(join(work, `${name}.ko`));
}

/** Debian's header packages have absolute paths in them; so their Makefile is written anew, for where they are now. */
function headersOf({ release }: Kernel): string {
  const version = release.replace(/-amd64$/, "");
  const folder = join(CACHE, "headers", release);
  if (!existsSync(folder)) {
    const half = `${folder}.${process.pid}`;
    mkdirSync(half, { recursive: true });
    try {
      const kbuild = tool("apt-cache", ["depends", `linux-headers-${release}`])
        .toString()
        .match(/linux-kbuild-\S+/);
      const packages = [`linux-headers-${release}`, headersCommon(release), kbuild?.[0] ?? `linux-kbuild-${version}`];
      tool("apt-get", ["-o", "APT::Sandbox::User=root", "download", ...packages], half);
      for (const each of readdirSync(half).filter((file) => file.endsWith(".deb"))) {
        tool("dpkg-deb", ["-x", join(half, each), half]);
        rmSync(join(half, each));
      }
      const common = join(folder, "usr/src", headersCommon(release), "Makefile");
      writeFileSync(join(half, "usr/src", `linux-headers-${release}`, "Makefile"), `include ${common}\n`);
      renameSync(half, folder);
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
  }
  return join(folder, "usr/src", `linux-headers-${release}`);
}

const headersCommon = (release: string): string => `linux-headers-${release.replace(/-amd64$/, "")}-common`;
