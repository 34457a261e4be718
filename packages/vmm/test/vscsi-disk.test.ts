import { EIO } from "@minivmm/host";
import { type Disk, memoryDisk } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import type { ScsiDiskConfig } from "../src/machines/pseries/vio/vscsi/config.ts";
import { DATA, DISK_BYTES, VscsiClient } from "./vscsi-client.ts";

const BLOCKS = DISK_BYTES / 512;
const text = (data: Uint8Array, from: number, to: number): string => new TextDecoder().decode(data.subarray(from, to));

function be(bytes: number, value: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);
}

/** Block commands by their size, for a first block and a count. */
const READ: Record<number, (block: number, count: number) => number[]> = {
  6: (block, count) => [0x08, ...be(3, block), count, 0],
  10: (block, count) => [0x28, 0, ...be(4, block), 0, ...be(2, count), 0],
  12: (block, count) => [0xa8, 0, ...be(4, block), ...be(4, count), 0, 0],
  16: (block, count) => [0x88, 0, ...be(8, block), ...be(4, count), 0, 0],
};
const WRITE: typeof READ = {
  6: (block, count) => [0x0a, ...be(3, block), count, 0],
  10: (block, count) => [0x2a, 0, ...be(4, block), 0, ...be(2, count), 0],
  12: (block, count) => [0xaa, 0, ...be(4, block), ...be(4, count), 0, 0],
  16: (block, count) => [0x8a, 0, ...be(8, block), ...be(4, count), 0, 0],
};
const SIZES = [6, 10, 12, 16];

describe("vmm pseries vscsi disk: reading and writing", () => {
  it.each(SIZES)("reads and writes with commands of %i bytes", (size) => {
    const client = new VscsiClient().open();
    expect(client.read(READ[size]!(3, 5), 5 * 512).data).toEqual(client.disk.slice(3 * 512, 8 * 512));
    const bytes = 7 * 512;
    for (let i = 0; i < bytes; i++) client.bench.ram.u8[DATA + i] = i * 13;
    expect(client.command({ cdb: WRITE[size]!(9, 7), out: [{ address: DATA, length: bytes }] }).status).toBe(0);
    expect(client.disk.slice(9 * 512, 16 * 512)).toEqual(client.bench.ram.u8.slice(DATA, DATA + bytes));
  });

  it.each(SIZES)("reads the last block and none behind it, with commands of %i bytes", (size) => {
    const client = new VscsiClient().open();
    expect(client.read(READ[size]!(BLOCKS - 1, 1), 512).status).toBe(0);
    for (const [block, count] of [
      [BLOCKS - 1, 2],
      [BLOCKS, 1],
    ] as const) {
      expect(client.read(READ[size]!(block, count), 1024).sense).toBe(0x052100);
      expect(client.command({ cdb: WRITE[size]!(block, count), out: [{ address: DATA, length: 1024 }] }).sense).toBe(
        0x052100,
      );
    }
  });

  it("moves 256 blocks for a count of 0 in the shortest form, and nothing in the others", () => {
    const client = new VscsiClient().open();
    expect(client.read(READ[6]!(0, 0), 256 * 512)).toMatchObject({ status: 0, flags: 0 });
    expect(client.bench.ram.u8[DATA + 255 * 512]).toBe(client.disk[255 * 512]);
    expect(client.read(READ[10]!(0, 0), 512)).toMatchObject({ status: 0, flags: 0x20, inResidual: 512 });
  });

  it("does not wrap around at 2^64 blocks", () => {
    const client = new VscsiClient().open();
    const cdb = [0x88, 0, ...Array(8).fill(0xff), 0, 0, 0, 2, 0, 0];
    expect(client.read(cdb, 1024).sense).toBe(0x052100);
  });

  it("refuses more than it says it moves at once, and protection information", () => {
    const client = new VscsiClient({ disks: [{ disk: memoryDisk(4 * 1024 * 1024) }] }).open();
    expect(client.read(READ[10]!(0, 4096), 512).status).toBe(0);
    expect(client.read(READ[10]!(0, 4097), 512).sense).toBe(0x052400);
    expect(client.read([0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0], 512).sense).toBe(0x052400);
    expect(client.command({ cdb: [0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1, 0] }).sense).toBe(0x052400);
  });

  const failing = (change: Partial<Disk>): VscsiClient => {
    const disk = { ...memoryDisk(DISK_BYTES), ...change };
    return new VscsiClient({ disks: [{ disk }] }).open();
  };

  it("turns errors of the disk into sense data", () => {
    expect(failing({ read: () => -EIO }).read(READ[10]!(0, 1), 512).sense).toBe(0x031100);
    const write = { cdb: WRITE[10]!(0, 1), out: [{ address: DATA, length: 512 }] };
    expect(failing({ write: () => -EIO }).command(write).sense).toBe(0x030c00);
    expect(failing({ flush: () => -EIO }).command({ cdb: [0x35] }).sense).toBe(0x030c00);
    expect(failing({ readonly: true }).command(write).sense).toBe(0x072700);
  });

  it("makes writes durable when asked, before or after", () => {
    let flushes = 0;
    const client = failing({
      flush: () => {
        flushes++;
        return 0;
      },
    });
    const out = [{ address: DATA, length: 512 }];
    client.command({ cdb: WRITE[10]!(0, 1), out });
    expect(flushes).toBe(0);
    client.command({ cdb: [0x2a, 8, 0, 0, 0, 0, 0, 0, 1, 0], out });
    expect(flushes).toBe(1);
    expect(client.command({ cdb: [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0] }).status).toBe(0);
    expect(client.command({ cdb: [0x91, 0, ...be(8, 0), ...be(4, BLOCKS), 0, 0] }).status).toBe(0);
    expect(flushes).toBe(3);
    expect(client.command({ cdb: [0x91, 0, ...be(8, 1), ...be(4, BLOCKS), 0, 0] }).sense).toBe(0x052100);
  });
});

describe("vmm pseries vscsi disk: what it is", () => {
  it("tells its kind, and cuts the answer to the allocation length", () => {
    const client = new VscsiClient().open();
    const { data, ...answer } = client.read([0x12, 0, 0, 0, 255, 0], 255);
    expect(answer).toMatchObject({ status: 0, flags: 0x20, inResidual: 255 - 36 });
    expect([...data.subarray(0, 8)]).toEqual([0, 0, 5, 2, 31, 0, 0, 2]);
    expect(text(data, 8, 36)).toBe("MINIVMM SCSI DISK       1   ");
    expect(client.read([0x12, 0, 0, 0, 5, 0], 36)).toMatchObject({ inResidual: 31 });
    expect(client.read([0x12, 0, 0x80, 0, 36, 0], 36).sense).toBe(0x052400);
    expect(client.read([0x12, 2, 0, 0, 36, 0], 36).sense).toBe(0x052400);
  });

  it("has the vital product data pages that it lists, with a serial number where it has one", () => {
    const disk = memoryDisk(DISK_BYTES);
    const page = (client: VscsiClient, code: number) => client.read([0x12, 1, code, 0, 64, 0], 64);
    const plain = new VscsiClient({ disks: [{ disk, id: "d0" }] }).open();
    const listed = page(plain, 0).data;
    expect([...listed.subarray(0, 8)]).toEqual([0, 0, 0, 4, 0, 0x83, 0xb0, 0xb1]);
    for (const code of listed.subarray(4, 8)) expect(page(plain, code)).toMatchObject({ status: 0 });
    expect(page(plain, 0x80).sense).toBe(0x052400);
    expect(text(page(plain, 0x83).data, 8, 18)).toBe("MINIVMM d0");
    expect([...page(plain, 0xb0).data.subarray(8, 12)]).toEqual([0, 0, 0x10, 0]);
    expect([...page(plain, 0xb1).data.subarray(0, 6)]).toEqual([0, 0xb1, 0, 0x3c, 0, 1]);
    const wordy = new VscsiClient({ disks: [{ disk, id: "d".repeat(300) }] }).open();
    expect([...page(wordy, 0x83).data.subarray(2, 8)]).toEqual([0, 68, 2, 1, 0, 64]);
    const numbered = new VscsiClient({ disks: [{ disk, serial: "S 1" }] }).open();
    expect(text(page(numbered, 0x80).data, 4, 7)).toBe("S 1");
    expect([...page(numbered, 0).data.subarray(3, 6)]).toEqual([5, 0, 0x80]);
  });

  it("tells its capacity", () => {
    const client = new VscsiClient().open();
    expect([...client.read([0x25], 8).data]).toEqual([...be(4, BLOCKS - 1), ...be(4, 512)]);
    expect([...client.read([0x9e, 0x10, ...be(8, 0), ...be(4, 32)], 32).data]).toEqual([
      ...be(8, BLOCKS - 1),
      ...be(4, 512),
      ...Array(20).fill(0),
    ]);
    expect(client.read([0x25, 0, 0, 0, 0, 1], 8).sense).toBe(0x052400);
    expect(client.read([0x9e, 0x11, ...be(8, 0), ...be(4, 32)], 32).sense).toBe(0x052400);
  });

  it("tells a capacity above 2 TiB in the longer form only", () => {
    const disk = { ...memoryDisk(512), size: 2 ** 32 * 512 + 1024 };
    const client = new VscsiClient({ disks: [{ disk }] }).open();
    expect([...client.read([0x25], 8).data]).toEqual([255, 255, 255, 255, 0, 0, 2, 0]);
    const { data } = client.read([0x9e, 0x10, ...be(8, 0), ...be(4, 12)], 12);
    expect([...data]).toEqual([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0]);
  });

  it("tells its write cache and its write protection", () => {
    const client = new VscsiClient().open();
    const short = client.read([0x1a, 0, 0x3f, 0, 192, 0], 192).data;
    expect([...short.subarray(0, 15)]).toEqual([43, 0, 0x10, 8, ...be(4, BLOCKS), 0, 0, 2, 0, 8, 18, 4]);
    expect([...short.subarray(32, 36)]).toEqual([10, 10, 0, 0x10]);
    const long = client.read([0x5a, 8, 8, 0, 0, 0, 0, 0, 64, 0], 64).data;
    expect([...long.subarray(0, 11)]).toEqual([0, 26, 0, 0x10, 0, 0, 0, 0, 8, 18, 4]);
    const changeable = client.read([0x1a, 8, 0x48, 0, 64, 0], 64).data;
    expect([...changeable.subarray(4, 8)]).toEqual([8, 18, 0, 0]);
    expect(client.read([0x1a, 0, 0xc8, 0, 64, 0], 64).sense).toBe(0x053900);
    expect(client.read([0x1a, 0, 0x01, 0, 64, 0], 64).sense).toBe(0x052400);
    expect(client.read([0x1a, 0, 0x08, 1, 64, 0], 64).sense).toBe(0x052400);
    const locked = new VscsiClient({ disks: [{ disk: { ...memoryDisk(512), readonly: true } }] }).open();
    expect(locked.read([0x1a, 0, 0x3f, 0, 4, 0], 4).data[2]).toBe(0x90);
  });

  it("refuses commands that it does not have", () => {
    const client = new VscsiClient().open();
    for (const opcode of [0x01, 0x15, 0x42, 0x93, 0xa3, 0xff]) {
      expect(client.command({ cdb: [opcode] })).toMatchObject({ status: 2, sense: 0x052000 });
    }
  });

  it("answers REQUEST SENSE with what there is to tell, in either format", () => {
    const client = new VscsiClient();
    client.open();
    expect([...client.read([0x03, 0, 0, 0, 18, 0], 18).data]).toEqual([
      0x70,
      0,
      0,
      0,
      0,
      0,
      0,
      10,
      ...Array(10).fill(0),
    ]);
    const empty = [0x81, 0, 0, 0, 0, 0, 0, 0];
    const { data } = client.read([0x03, 1, 0, 0, 8, 0], 8, empty);
    expect([...data]).toEqual([0x72, 5, 0x25, 0, 0, 0, 0, 0]);
  });

  it("tells a unit attention by REQUEST SENSE once", () => {
    const client = new VscsiClient().open();
    client.adapter.units.reset();
    const ask = () => client.read([0x03, 0, 0, 0, 18, 0], 18).data;
    expect([ask()[2], ask()[2]]).toEqual([6, 0]);
  });
});

describe("vmm pseries vscsi disk: places", () => {
  const disk = (): Disk => memoryDisk(DISK_BYTES);
  const lun = (channel: number, target: number, unit: number): number[] => [0x80 | target, (channel << 5) | unit];
  const luns = (client: VscsiClient, at: readonly number[], select = 0): number[][] => {
    const { data } = client.read([0xa0, 0, select, 0, 0, 0, ...be(4, 256)], 256, at);
    const count = new DataView(data.buffer).getUint32(0) / 8;
    return Array.from({ length: count }, (_, i) => [...data.subarray(8 + i * 8, 10 + i * 8)]);
  };

  it("are targets of channel 0 one after the other, or as given", () => {
    const disks: ScsiDiskConfig[] = [
      { disk: disk() },
      { disk: disk() },
      { disk: disk(), channel: 2, target: 5, lun: 3 },
      { disk: disk(), target: 1 },
    ];
    const client = new VscsiClient({ disks }).open();
    const all = [[0, 0], lun(0, 1, 0), lun(0, 1, 1), lun(2, 5, 3)];
    expect(luns(client, [0, 0])).toEqual(all);
    expect(luns(client, [0xc1, 1], 2)).toEqual(all);
    expect(luns(client, [0xc1, 1], 1)).toEqual([]);
    expect(luns(client, lun(0, 1, 0))).toEqual([
      [0, 0],
      [0, 1],
    ]);
    expect(luns(client, lun(0, 7, 0))).toEqual([]);
    expect(client.read([0x12, 0, 0, 0, 36, 0], 36, lun(2, 5, 3)).data[0]).toBe(0);
    expect(client.read([0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64], 64, [0, 0]).sense).toBe(0x052400);
  });

  it("without a disk say so", () => {
    const client = new VscsiClient().open();
    const nobody = lun(0, 1, 0);
    expect(client.read([0x12, 0, 0, 0, 36, 0], 36, nobody)).toMatchObject({ status: 0, flags: 0 });
    expect(client.bench.ram.u8[DATA]).toBe(0x7f);
    expect(client.read([0x12, 1, 0, 0, 36, 0], 36, nobody).sense).toBe(0x052400);
    expect(client.read(READ[10]!(0, 1), 512, nobody).sense).toBe(0x052500);
    expect(client.command({ cdb: [0], lun: nobody }).sense).toBe(0x052500);
  });

  it.each<[string, Partial<ScsiDiskConfig>[], RegExp]>([
    ["a place that is taken", [{}, { target: 0, lun: 0 }], /another disk is at 0:0:0/],
    ["a channel that does not exist", [{ channel: 8 }], /no place 8:/],
    ["a target that does not exist", [{ target: 64 }], /no place 0:64:/],
    ["a LUN that does not exist", [{ target: 1, lun: 32 }], /no place 0:1:32/],
    ["more disks than targets", Array(65).fill({}), /no place 0:\(any\)/],
    ["a serial number that is too long", [{ serial: "x".repeat(37) }], /serial number/],
    ["a serial number with a control character", [{ serial: "a\n" }], /serial number/],
  ])("refuse %s", (_, places, message) => {
    const disks = places.map((place) => ({ disk: memoryDisk(512), ...place }));
    expect(() => new VscsiClient({ disks })).toThrow(
      expect.objectContaining({
        code: "USAGE_CONFIG",
        message: expect.stringMatching(message),
        hint: expect.anything(),
      }),
    );
  });
});
