// What the demonstration boots: Debian's kernel with an init program of ours, or, where no kernel can be had, a program
// without an operating system that does the same with its own driver. Both read the disk's first part, check it against
// a known pattern, write another pattern behind it, read that back, and switch the machine off.
import { join } from "node:path";
import { cpioCharDevice, cpioDirectory, cpioFile, writeCpio } from "@minivmm/vmm/boot";
import { bareDiskProgram, linuxDiskInit } from "@minivmm/vmm/guests";
import type { CachedImage } from "../image/cache.ts";
import { modulesFor } from "../image/modules.ts";

export interface DemoGuest {
  readonly title: string;
  readonly kernel: { readonly path: string } | { readonly bytes: Uint8Array };
  readonly initrd?: Uint8Array;
  readonly append: string;
  /** What the console says when the guest's own program begins. */
  readonly initLine: string;
  /** What the guest says when every check of its own has succeeded. */
  readonly passLine: string;
}

/** Bytes that a guest reads, and then writes behind them. */
export const TRANSFER_BYTES = 1 << 20;

/** Disks for Linux guests: what to load, and where the disks then are. */
export interface LinuxDisks {
  readonly modules: readonly string[];
  readonly devices: readonly string[];
}

const NVME: LinuxDisks = { modules: ["nvme"], devices: ["/dev/nvme0n1"] };

/** Throws CliError MODULE when the image does not have what the disks need. */
export async function linuxGuest(image: CachedImage, disks: LinuxDisks = NVME): Promise<DemoGuest> {
  const base = `lib/modules/${image.release}`;
  const modules = await modulesFor(join(image.folder, image.modules), disks.modules);
  const paths = modules.map(({ path }) => `${base}/${path}`);
  const folders = [...new Set(["dev", "proc", "sys", ...paths.flatMap(parents)])];
  const init = linuxDiskInit({
    modules: paths.map((path) => `/${path}`),
    bytes: TRANSFER_BYTES,
    devices: disks.devices,
  });
  return {
    title: `Linux ${image.release}`,
    kernel: { path: join(image.folder, image.kernel) },
    initrd: writeCpio([
      ...folders.map((name) => cpioDirectory(name)),
      cpioCharDevice("dev/console", 5, 1),
      cpioFile("init", init),
      ...modules.map(({ bytes }, index) => cpioFile(paths[index] as string, bytes, 0o644)),
    ]),
    // Self-tests of ciphers are a third of a software CPU's boot and tell nothing here.
    append: "console=hvc0 panic=-1 cryptomgr.notests",
    initLine: "minivmm-init: started",
    passLine: "minivmm-init: PASS",
  };
}

export function builtinGuest(): DemoGuest {
  return {
    title: "the built-in guest program",
    kernel: { bytes: bareDiskProgram({ bytes: TRANSFER_BYTES }) },
    append: "",
    initLine: "minivmm-bare: started",
    passLine: "minivmm-bare: PASS",
  };
}

/** "a/b/c" -> "a", "a/b": an archive has to name a folder before what is in it. */
function parents(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}
