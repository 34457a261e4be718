// The disks behind NVMe and USB controllers: the guest must read what the test put there, and the test looks afterwards
// for what the guest says it wrote. The pattern is that of guest/disk.c.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEVICES } from "./cases.ts";

const AREA = 65_536;
const AREAS = 64;

/** The bytes of area `area`: area 0 is the host's, one of the others belongs to each guest. */
export function pattern(area: number): Buffer {
  const bytes = Buffer.alloc(AREA);
  for (let i = 0; i < AREA / 4; i++) {
    bytes.writeUInt32LE((Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(area, 0x85ebca6b)) >>> 0, i * 4);
  }
  return bytes;
}

/** Makes a disk in `folder` for each device that is to have one, with nothing in the areas of guests; options of rig.sh. */
export function makeDisks(folder: string): string[] {
  return DEVICES.filter(({ disk }) => disk).flatMap(({ name }) => {
    writeFileSync(image(folder, name), Buffer.concat([pattern(0)], AREA * AREAS));
    const block = `driver=file,node-name=disk-${name},filename=${image(folder, name)}`;
    return ["--qemu-arg", "-blockdev", "--qemu-arg", block];
  });
}

/** Whether the guest that owns `area` wrote its pattern to the disk of device `name`. */
export function wasWritten(folder: string, name: string, area: number): boolean {
  const bytes = readFileSync(image(folder, name)).subarray(area * AREA, (area + 1) * AREA);
  return bytes.equals(pattern(area));
}

const image = (folder: string, name: string): string => join(folder, `disk-${name}.img`);
