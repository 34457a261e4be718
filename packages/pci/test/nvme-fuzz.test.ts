import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memoryDisk, nvme } from "../src/devices/index.ts";
import type { BarWidth } from "../src/index.ts";
import { FakeMemory } from "./support/memory.ts";
import { BASE, DATA, NvmeDriver } from "./support/nvme-driver.ts";

/** Addresses that matter: inside, at the edges of and outside the memory that the port allows. */
const address = fc.oneof(
  fc.constantFrom(
    DATA,
    DATA + 0xffc,
    BASE,
    BASE + 0x1000,
    BASE + 0x3ff000,
    BASE + 0x3ffff8,
    BASE - 0x1000,
    0,
    0xfffffffff000,
  ),
  fc.nat(0x3ffff).map((n) => BASE + n * 16),
);
const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0x00460001, 0x7fffffff, 0xffffffff), fc.nat(0xffffffff));
const opcode = fc.oneof(fc.constantFrom(0, 1, 2, 4, 5, 6, 8, 9, 10, 12), fc.nat(255));
const command = fc.record({
  opcode,
  flags: fc.constantFrom(0, 0, 0, 0, 0x40, 1),
  nsid: fc.constantFrom(1, 1, 1, 0, 2, 0xffffffff),
  prp1: address,
  prp2: address,
  cdw10: fc.oneof(fc.nat(4096), word),
  cdw11: fc.oneof(fc.constantFrom(0, 1, 3), word),
  cdw12: fc.oneof(fc.nat(300), word),
  cdw13: fc.constantFrom(0, 0, 1, 0xffffffff),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("command" as const), queue: fc.nat(2), command }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      offset: fc.oneof(
        fc.nat(0x40),
        fc.nat(0x20).map((n) => 0x1000 + n * 4),
        fc.nat(0x3fff),
      ),
      width: fc.constantFrom<BarWidth>(1, 2, 4, 4, 4, 8),
      lo: word,
      hi: word,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("read" as const),
      offset: fc.nat(0x3ff8),
      width: fc.constantFrom<BarWidth>(1, 2, 4, 8),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("config" as const), offset: fc.nat(0xff), value: word }) },
);

describe("pci nvme: hostile drivers", () => {
  test("never throw, never reach memory the port refuses, never write past the disk", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const disk = memoryDisk(1 << 20);
        const ranges: boolean[] = [];
        const checked = {
          ...disk,
          read: (offset: number, into: Uint8Array) => {
            ranges.push(offset + into.length <= disk.size);
            return disk.read(offset, into);
          },
          write: (offset: number, from: Uint8Array) => {
            ranges.push(offset + from.length <= disk.size);
            return disk.write(offset, from);
          },
        };
        const memory = new FakeMemory(BASE, 0x40_0000);
        const driver = new NvmeDriver(nvme({ disk: checked, queues: 3 }), memory);
        driver.enable();
        driver.createIoQueues(1);
        driver.createIoQueues(2, 4);
        const out = new Uint32Array(2);
        for (const each of steps) {
          if (each.kind === "command") driver.submit(each.queue, each.command);
          else if (each.kind === "write") driver.device.writeBar(0, each.offset, each.width, each.lo, each.hi);
          else if (each.kind === "read") driver.device.readBar(0, each.offset, each.width, out);
          else driver.device.config.write(each.offset & ~3, 4, each.value);
        }
        expect(ranges.every(Boolean)).toBe(true);
        // Whatever happened, a reset brings a controller that works.
        driver.device.reset("flr");
        driver.device.config.write(4, 2, 6);
        driver.enable();
        driver.ok(driver.admin({ opcode: 6, prp1: DATA, cdw10: 1 }));
      }),
      { numRuns: 300 },
    );
  });
});
