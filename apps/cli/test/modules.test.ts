// Kernel modules of a package that was never installed: found by name, unpacked, what they need before them.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { modinfo, moduleDependencies, moduleName } from "../src/image/modinfo.ts";
import { modulesFor } from "../src/image/modules.ts";
import { temporaryFolder } from "./helpers.ts";

/** A 64-bit little-endian ELF object with a .modinfo and a name section. */
function moduleFile(...texts: string[]): Uint8Array {
  const info = Buffer.from(texts.map((text) => `${text}\0`).join(""));
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const table = Math.ceil((64 + info.length + names.length) / 8) * 8;
  const file = Buffer.alloc(table + 3 * 64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  file.writeBigUInt64LE(BigInt(table), 0x28);
  for (const [i, value] of [64, 3, 2].entries()) file.writeUInt16LE(value, 0x3a + 2 * i);
  info.copy(file, 64);
  names.copy(file, 64 + info.length);
  const header = (index: number, name: number, offset: number, length: number): void => {
    file.writeUInt32LE(name, table + index * 64);
    file.writeBigUInt64LE(BigInt(offset), table + index * 64 + 0x18);
    file.writeBigUInt64LE(BigInt(length), table + index * 64 + 0x20);
  };
  header(1, 1, 64, info.length);
  header(2, 10, 64 + info.length, names.length);
  return file;
}

function tree(modules: Record<string, Uint8Array | string>): string {
  const folder = temporaryFolder();
  for (const [path, content] of Object.entries(modules)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

describe("cli modules: .modinfo", () => {
  it("is read by key, with dashes as underscores in names", () => {
    const file = moduleFile("license=GPL", "depends=nvme-core,t10_pi", "alias=a", "alias=b");
    expect(modinfo(file, "alias", "x.ko")).toEqual(["a", "b"]);
    expect(moduleDependencies(file, "x.ko")).toEqual(["nvme_core", "t10_pi"]);
    expect(moduleDependencies(moduleFile("depends="), "x.ko")).toEqual([]);
    expect(moduleName("kernel/a/crc-t10dif.ko.xz")).toBe("crc_t10dif");
  });

  it("of damaged files is refused with an error of its own, never another", () => {
    const whole = moduleFile("depends=a");
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(whole.length - 1), fc.nat(255), (cut, at, byte) => {
        const damaged = Uint8Array.from(whole.subarray(0, cut));
        if (at < cut) damaged[at] = byte;
        try {
          moduleDependencies(damaged, "x.ko");
        } catch (error) {
          expect(error).toMatchObject({ code: "MODULE" });
        }
      }),
    );
    expect(() => moduleDependencies(whole.subarray(0, 100), "x.ko")).toThrow(
      "not a kernel module: x.ko: the file is cut short",
    );
    expect(() => moduleDependencies(new Uint8Array(99), "x.ko")).toThrow("no 64-bit little-endian ELF file");
  });
});

describe("cli modules: loading order", () => {
  it("puts what is needed first, once, without what is built in", async () => {
    const folder = tree({
      "kernel/drivers/nvme.ko": moduleFile("depends=nvme-core,crc64,scsi_mod"),
      "kernel/drivers/nvme-core.ko": moduleFile("depends=crc64,t10-pi"),
      "kernel/block/t10-pi.ko": moduleFile("depends="),
      "kernel/lib/crc64.ko": moduleFile("depends="),
      "kernel/other.ko": moduleFile("depends=missing"),
      "modules.builtin": "kernel/drivers/scsi/scsi_mod.ko\n",
    });
    const modules = await modulesFor(folder, ["nvme"]);
    expect(modules.map(({ path }) => path)).toEqual([
      "kernel/lib/crc64.ko",
      "kernel/block/t10-pi.ko",
      "kernel/drivers/nvme-core.ko",
      "kernel/drivers/nvme.ko",
    ]);
  });

  it("unpacks .gz itself and .xz with the tool", async () => {
    const plain = moduleFile("depends=b");
    const folder = tree({ "a.ko.gz": gzipSync(plain), "b.ko.xz": moduleFile("depends=") });
    const bin = tree({ xz: '#!/bin/sh\n[ "$1" = -dc ] && cat "$2"\n' });
    chmodSync(join(bin, "xz"), 0o755);
    const modules = await modulesFor(folder, ["a"], { PATH: `${bin}:${process.env.PATH}` });
    expect(modules.map(({ path }) => path)).toEqual(["b.ko", "a.ko"]);
    expect(Buffer.compare(modules[1]?.bytes ?? new Uint8Array(), plain)).toBe(0);
  });

  it("says what is missing and what goes in a circle", async () => {
    const folder = tree({
      "a.ko": moduleFile("depends=b"),
      "b.ko": moduleFile("depends=a"),
      "c.ko": moduleFile("depends=gone"),
    });
    await expect(modulesFor(folder, ["c"])).rejects.toThrow(/the kernel module gone is not in/);
    await expect(modulesFor(folder, ["a"])).rejects.toThrow("the kernel module a needs itself: a -> b -> a");
  });
});
