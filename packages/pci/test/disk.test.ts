import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { fileDisk, memoryDisk } from "../src/devices/index.ts";

const directory = mkdtempSync(join(tmpdir(), "pci-disk-"));
afterAll(() => rmSync(directory, { recursive: true }));
const image = (name: string, bytes: number): string => {
  const path = join(directory, name);
  writeFileSync(path, new Uint8Array(bytes).fill(1));
  return path;
};

describe("pci disk", () => {
  test("a file keeps what is written", () => {
    const path = image("rw.img", 4096);
    const disk = fileDisk(path);
    expect([disk.size, disk.readonly, disk.write(512, new Uint8Array(512).fill(7)), disk.flush()]).toEqual([
      4096,
      false,
      0,
      0,
    ]);
    const back = new Uint8Array(1024);
    expect(disk.read(0, back)).toBe(0);
    expect([back[511], back[512], back[1023]]).toEqual([1, 7, 7]);
    disk.close();
    disk.close();
    expect(readFileSync(path)[600]).toBe(7);
    expect(disk.read(0, back)).toBeLessThan(0);
  });

  test("a read-only file refuses writes with EROFS", () => {
    const disk = fileDisk(image("ro.img", 512), { readonly: true });
    expect([disk.write(0, new Uint8Array(512)), disk.flush()]).toEqual([-30, 0]);
    disk.close();
  });

  test("a file that shrank gives an I/O error", () => {
    const path = image("shrink.img", 2048);
    const disk = fileDisk(path);
    truncateSync(path, 512);
    expect(disk.read(1024, new Uint8Array(512))).toBe(-5);
    disk.close();
  });

  test.each([0, 511, 513])("%i bytes are not a disk", (size) => {
    expect(() => fileDisk(image("odd.img", size))).toThrow(expect.objectContaining({ code: "DISK" }));
    expect(() => memoryDisk(size)).toThrow(expect.objectContaining({ code: "DISK" }));
  });

  test("a missing file is named", () => {
    const path = join(directory, "none.img");
    expect(() => fileDisk(path)).toThrow(
      expect.objectContaining({ code: "DISK", errno: 2, details: { path, readonly: false } }),
    );
  });
});
