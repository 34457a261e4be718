// What a guest waits for: the files that are loaded before machine pc runs its first instruction, in the main thread and in
// the machine's, followed from import to import. Each of them costs time, so nobody loads what the guest does not use. Time
// itself is not measured here (the command's benchmark does that).
import { describe, expect, it } from "vitest";
import { loadedLater, loadedWith, packageOf, resolveRelative } from "./imports.ts";
import { files, packages, text } from "./tree.ts";

const CLI = "apps/cli/src";
const VMM = "packages/vmm/src";

/** The file behind a specifier: of the project, or null for what comes with Node. Throws for npm packages. */
function fileOf(from: string, specifier: string): string | null {
  if (specifier.startsWith("node:")) return null;
  const target = resolveRelative(from, specifier) ?? exported(specifier);
  if (target === undefined || !files.includes(target)) throw new Error(`${from} loads ${specifier}`);
  return target;
}

function exported(specifier: string): string | undefined {
  const name = packageOf(specifier);
  const owner = packages.find(({ manifest }) => manifest.name === name);
  const entry = owner?.manifest.exports?.[`.${specifier.slice(name.length)}`] as { source: string } | undefined;
  return entry === undefined ? undefined : `${owner?.folder}/${entry.source.slice(2)}`;
}

/** Everything that is loaded with `roots`, and they themselves. */
function loaded(...roots: string[]): string[] {
  const found = new Set<string>(roots);
  for (const file of found) {
    for (const specifier of loadedWith(text(file))) {
      const target = fileOf(file, specifier);
      if (target !== null) found.add(target);
    }
  }
  return [...found];
}

/** `from` loads `to` when it comes to it, or starts a thread with it. */
const LATER: readonly (readonly [from: string, to: string])[] = [
  [`${CLI}/commands.ts`, `${CLI}/options/run-options.ts`],
  [`${CLI}/commands.ts`, `${CLI}/cmds/run.ts`],
  [`${CLI}/cmds/run.ts`, `${CLI}/pc/launcher.ts`],
  [`${VMM}/pc-vm.ts`, `${VMM}/accel/x86/pc-vm.ts`],
];
const MAIN_THREAD = [`${CLI}/main.ts`, ...LATER.map(([, to]) => to)];
const MACHINE_THREAD = [`${VMM}/accel/x86/machine-thread.ts`, `${CLI}/pc/platform.ts`];
const WITH_DEVICES = [...MACHINE_THREAD, `${VMM}/accel/x86/box.ts`];

/** Nothing of these, whoever loads it. */
const NOT_FOR_PC = [
  /^packages\/(ppc64|spapr-iommu|conformance)\//,
  /^packages\/model-host\/src\/(?!spec\.ts|error\.ts|catalog\/names\.ts)/,
  /^packages\/[^/]+\/src\/model\//,
  /^packages\/vmm\/src\/(machines\/pseries|guests)\//,
  /^packages\/vmm\/src\/attributes\/(?!kvm-dma\.ts|host-facts\.ts)/,
  /^packages\/vmm\/src\/(index|vm|config)\.ts$/,
  /^packages\/vmm\/src\/boot\/(index|fdt|cpio)/,
  /^packages\/vmm\/src\/pci\/spapr/,
  /^packages\/pci\/src\/(index\.ts|topology|iommu|iov)/,
  /^packages\/pci\/src\/devices\/(?!chipset\/host-bridge\.ts)/,
];
/** Only for guests with devices of the host. */
const PASSTHROUGH = /^packages\/(vfio-core|kvm-device|pci-hotreset)\//;

const unwanted = (paths: readonly string[]) => paths.filter((path) => NOT_FOR_PC.some((each) => each.test(path)));

describe("house: what is loaded is read", () => {
  it("is what is imported for its values; types and what is inside functions are not", () => {
    const source = [
      'import a, { b } from "./one.ts";',
      'import type { C } from "two";',
      'import {\n  type D,\n  d,\n} from "three";',
      'export * from "four";',
      'export type { E } from "five";',
      'import "six";',
      '  const seven = await import("seven");',
      '  const nine = await original<typeof import("eight").T>();',
      '// import x from "no";',
    ].join("\n");
    expect(loadedWith(source)).toEqual(["./one.ts", "three", "four", "six"]);
    expect(loadedLater(source)).toEqual(["seven"]);
  });

  it("follows exports of packages, and stops at npm's", () => {
    expect(fileOf(`${CLI}/x.ts`, "@minivmm/vmm/pc")).toBe(`${VMM}/pc.ts`);
    expect(fileOf(`${CLI}/cmds/x.ts`, "../io.ts")).toBe(`${CLI}/io.ts`);
    expect(fileOf(`${CLI}/x.ts`, "node:fs")).toBeNull();
    expect(() => fileOf(`${CLI}/x.ts`, "yargs")).toThrow("loads yargs");
    expect(() => loaded(`${CLI}/help.ts`)).toThrow("loads yargs");
  });
});

describe("house: the way to the first instruction of machine pc", () => {
  it.each(LATER)("%s loads %s later", (from, to) => {
    expect(loadedLater(text(from)).map((specifier) => fileOf(from, specifier))).toContain(to);
    expect(loaded(from)).not.toContain(to);
  });

  it("the machine's thread has entries that are there, and loads devices later", () => {
    expect(text(`${VMM}/accel/x86/pc-threads.ts`)).toContain('"machine-thread"');
    const later = ["../../coherency/report.ts", "./box.ts", "./combining.ts"];
    expect(loadedLater(text(`${VMM}/accel/x86/machine-thread.ts`))).toEqual(later);
    expect(loaded(...MACHINE_THREAD)).not.toContain(`${VMM}/accel/x86/box.ts`);
  });

  it("the main thread loads nothing of other machines, of modelled hosts, or of passthrough, and no npm package", () => {
    const paths = loaded(...MAIN_THREAD);
    expect(unwanted(paths)).toEqual([]);
    expect(paths.filter((path) => PASSTHROUGH.test(path))).toEqual([]);
  });

  it("neither does the machine's thread", () => {
    const paths = loaded(...MACHINE_THREAD);
    expect(unwanted(paths)).toEqual([]);
    expect(paths.filter((path) => PASSTHROUGH.test(path))).toEqual([]);
  });

  it("with devices it loads passthrough, and nothing of models", () => {
    const paths = loaded(...WITH_DEVICES);
    expect(unwanted(paths)).toEqual([]);
    expect(paths.filter((path) => PASSTHROUGH.test(path))).not.toEqual([]);
  });

  it("the files are few: a slow machine takes 10 ms for each", () => {
    const counts = {
      version: loaded(`${CLI}/main.ts`).length,
      main: loaded(...MAIN_THREAD).length,
      machine: loaded(...MACHINE_THREAD).length,
      devices: loaded(...WITH_DEVICES).length,
    };
    console.log(`loaded before the first instruction: ${JSON.stringify(counts)}`);
    expect(counts.version).toBeLessThanOrEqual(15);
    expect(counts.main).toBeLessThanOrEqual(90);
    expect(counts.machine).toBeLessThanOrEqual(100);
    expect(counts.devices).toBeLessThanOrEqual(185);
  });
});
