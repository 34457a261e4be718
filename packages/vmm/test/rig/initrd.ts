// The guest's initial RAM file system: this machine's busybox, the rig kernel's modules, and guest/: an init, a script
// for each device, and the programs and the driver that are compiled here.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CpioEntry, cpioCharDevice, cpioDirectory, cpioFile, writeCpio } from "../../src/boot/index.ts";
import { DEVICES, type Device } from "./cases.ts";
import { compileModule, type Kernel, modulesFor, tool } from "./kernel.ts";

const GUEST = fileURLToPath(new URL("guest/", import.meta.url));
const PROGRAMS = ["disk", "pcm", "raise"];
const BUSYBOX = "/bin/busybox";
const S_IFLNK = 0o120777;

export interface Built {
  /** Devices that cannot be tried, and why. */
  readonly missing: ReadonlyMap<string, string>;
}

/** Writes the archive to `path`. A device whose driver cannot be built is left out. */
export function buildInitrd(kernel: Kernel, path: string): Built {
  const work = mkdtempSync(join(tmpdir(), "minivmm-guest-"));
  try {
    const missing = new Map<string, string>();
    const own = new Map<string, Buffer>();
    try {
      own.set("edu", compileModule(kernel, join(GUEST, "edu.c"), join(work, "edu")));
    } catch (error) {
      missing.set("edu", `its driver could not be built: ${(error as Error).message}`);
    }
    const devices = DEVICES.filter(({ name }) => !missing.has(name));
    const entries = [...files(), ...PROGRAMS.map((name) => program(name, work)), ...modules(kernel, devices, own)];
    writeFileSync(path, writeCpio(entries));
    return { missing };
  } finally {
    rmSync(work, { recursive: true });
  }
}

function files(): CpioEntry[] {
  const commands = tool(BUSYBOX, ["--list"]).toString().trim().split("\n");
  return [
    ...["bin", "checks", "dev", "modules", "proc", "sys"].map((each) => cpioDirectory(each)),
    cpioCharDevice("dev/console", 5, 1),
    cpioFile("init", readFileSync(join(GUEST, "init"))),
    cpioFile("bin/busybox", readFileSync(BUSYBOX)),
    ...commands.filter((each) => each !== "busybox").map((each) => link(`bin/${each}`, "busybox")),
    ...readdirSync(join(GUEST, "checks")).map((each) =>
      cpioFile(`checks/${each}`, readFileSync(join(GUEST, "checks", each)), 0o644),
    ),
  ];
}

const link = (name: string, target: string): CpioEntry => ({ name, mode: S_IFLNK, data: Buffer.from(target) });

function program(name: string, work: string): CpioEntry {
  const out = join(work, name);
  tool("gcc", ["-static", "-O2", "-Wall", "-Werror", "-s", "-o", out, join(GUEST, `${name}.c`)]);
  return cpioFile(`bin/${name}`, readFileSync(out));
}

/** Every module once, and for each device the list of those that it needs, in order. */
function modules(kernel: Kernel, devices: readonly Device[], own: ReadonlyMap<string, Buffer>): CpioEntry[] {
  const all = new Map<string, CpioEntry>();
  for (const { name, modules } of devices) {
    const needed = modulesFor(kernel, modules, own);
    for (const each of needed) all.set(each.name, cpioFile(`modules/${each.name}.ko`, each.bytes, 0o644));
    const list = needed.map((each) => `${each.name}\n`).join("");
    all.set(`${name}.list`, cpioFile(`modules/${name}.list`, Buffer.from(list), 0o644));
  }
  return [...all.values()];
}
