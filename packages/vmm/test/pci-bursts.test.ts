// Combined stores between the CPU and a BAR: how a line is taken apart, and who may be given one.
import { PciDevice } from "@minivmm/pci";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { MEM32_WINDOW, MEM64_WINDOW } from "../src/machines/pseries/memory-map.ts";
import { Phb } from "../src/machines/pseries/phb.ts";
import { Xics } from "../src/machines/pseries/xics.ts";
import { accessWidth, BurstSplitter, writeInAccesses } from "../src/pci/burst.ts";
import type { DecodedRange } from "../src/pci/decode.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { property } from "./property.ts";

const NO_DMA = { read: () => false, write: () => false };
const BAR = 0x8000_0000;
const AT = MEM32_WINDOW.cpu;

/** BAR 0 (64 KiB) and 1 (2 KiB) prefetchable, BAR 2 (4 KiB) not. Notes what it is written with. */
class Memory extends PciDevice {
  readonly written: string[] = [];
  readonly bytes = new Uint8Array(0x1_0000);

  constructor() {
    super({ vendor: 0x1234, device: 1, classCode: 0x038000 });
    this.addBar({ index: 0, type: "mem32", size: 0x1_0000, prefetchable: true });
    this.addBar({ index: 1, type: "mem32", size: 0x800, prefetchable: true });
    this.addBar({ index: 2, type: "mem32", size: 0x1000, prefetchable: false });
  }

  override readBar(_bar: number, _offset: number, _width: number, out: Uint32Array): void {
    out.fill(0);
  }

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    this.written.push(`${bar}+${offset.toString(16)}: ${width}`);
    for (let i = 0; i < width; i++) this.bytes[offset + i] = (i < 4 ? lo : hi) >>> ((i & 3) * 8);
  }

  protected override onReset(): void {}
}

class Display extends Memory {
  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    this.written.push(`${bar}+${offset.toString(16)}: burst of ${bytes.length}`);
    this.bytes.set(bytes, offset);
  }
}

const line = Uint8Array.from({ length: 64 }, (_, n) => n + 1);
const bit = (lo: number, hi: number, n: number): boolean => (((n < 32 ? lo : hi) >>> (n & 31)) & 1) === 1;
const word = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_ffff, 0xffff_0000));

describe("vmm pci bursts: a line by its mask", () => {
  property<[number, number]>(
    "becomes the longest runs of what was stored, in order, with its bytes",
    [word, word],
    (lo, hi) => {
      const seen: [number, number[]][] = [];
      new BurstSplitter((at, bytes) => seen.push([at, [...bytes]])).split(0x1000, lo, hi, line);
      const expected: [number, number[]][] = [];
      for (let n = 0; n < 64; n++) {
        if (!bit(lo, hi, n)) continue;
        if (n === 0 || !bit(lo, hi, n - 1)) expected.push([0x1000 + n, []]);
        expected.at(-1)![1].push(line[n]!);
      }
      expect(seen).toEqual(expected);
    },
  );

  property<[number, number]>(
    "is cut into naturally aligned accesses that write each byte once, in order",
    [fc.integer({ min: 0, max: 63 }), fc.integer({ min: 1, max: 64 })],
    (offset, length) => {
      const out: number[] = [];
      let next = offset;
      const writeBar = (_bar: number, at: number, width: number, lo: number, hi: number): void => {
        expect([at, at % width]).toEqual([next, 0]);
        next += width;
        for (let i = 0; i < width; i++) out.push(((i < 4 ? lo : hi) >>> ((i & 3) * 8)) & 0xff);
      };
      writeInAccesses({ writeBar }, 0, offset, line.subarray(0, length));
      expect(out).toEqual([...line.subarray(0, length)]);
    },
  );

  it("takes the widest access that is aligned and fits", () => {
    expect([accessWidth(0, 64), accessWidth(4, 64), accessWidth(6, 64), accessWidth(7, 64)]).toEqual([8, 4, 2, 1]);
    expect([accessWidth(0, 7), accessWidth(0, 3), accessWidth(0, 1)]).toEqual([4, 2, 1]);
  });
});

describe("vmm pci bursts: at the host bridge", () => {
  let ranges: readonly DecodedRange[];
  let phb: Phb;

  beforeEach(() => {
    ranges = [];
    phb = new Phb(new Xics(), (now) => {
      ranges = now;
    });
  });

  function plug<D extends Memory>(device: D, slot: number, bus = BAR): { device: D; endpoint: EmulatedEndpoint } {
    const endpoint = new EmulatedEndpoint("memory", device, NO_DMA);
    phb.plug(endpoint, slot);
    const register = (at: number): number => (slot << 11) | at;
    phb.writeConfig(register(0x10), 4, bus);
    phb.writeConfig(register(0x14), 4, bus + 0x1_0000);
    phb.writeConfig(register(0x18), 4, bus + 0x1_1000);
    phb.writeConfig(register(4), 2, 2);
    return { device, endpoint };
  }

  it("gives a model that takes them a burst, and one that does not the same bytes by accesses", () => {
    const display = plug(new Display(), 1);
    const memory = plug(new Memory(), 2, BAR + 0x10_0000);
    for (const at of [AT + 0x100, AT + 0x10_0100]) phb.writeBurst(at, 0xffff_ffff, 0xffff_ffff, line);
    phb.writeBurst(AT + 0x140, 0x0000_0ffc, 0, line);
    phb.writeBurst(AT + 0x10_0140, 0x0000_0ffc, 0, line);
    expect(display.device.written).toEqual(["0+100: burst of 64", "0+142: burst of 10"]);
    expect(memory.device.written.slice(0, 8)).toEqual(
      Array.from({ length: 8 }, (_, n) => `0+${(0x100 + 8 * n).toString(16)}: 8`),
    );
    expect(memory.device.written.slice(8)).toEqual(["0+142: 2", "0+144: 4", "0+148: 4"]);
    expect(memory.device.bytes).toEqual(display.device.bytes);
    expect(display.endpoint.barWrites()).toEqual([{ bar: 0, writes: 0, bursts: 2, bytes: 74 }]);
    expect(memory.endpoint.barWrites()).toEqual([{ bar: 0, writes: 11, bursts: 0, bytes: 74 }]);
  });

  it("makes a single access of what one store could have been", () => {
    const { device, endpoint } = plug(new Display(), 1);
    phb.writeBurst(AT, 0x0f00_00ff, 0x8000_0000, line);
    expect(device.written).toEqual(["0+0: 8", "0+18: 4", "0+3f: 1"]);
    expect(endpoint.barWrites()).toEqual([{ bar: 0, writes: 3, bursts: 0, bytes: 13 }]);
  });

  it("tells where stores may be combined: prefetchable BARs, while they are decoded", () => {
    plug(new Display(), 1);
    expect(ranges).toEqual([
      { start: AT, end: AT + 0x1_0000 },
      { start: AT + 0x1_0000, end: AT + 0x1_0800 },
    ]);
    phb.writeConfig(0x810, 4, BAR + 0x20_0000);
    expect(ranges[0]).toEqual({ start: AT + 0x20_0000, end: AT + 0x21_0000 });
    phb.writeConfig(0x804, 2, 0);
    expect(ranges).toEqual([]);
  });

  it("tells nothing of a BAR that shares addresses with another one before it", () => {
    plug(new Display(), 1);
    plug(new Display(), 2, BAR + 0x8000);
    expect(ranges.map(({ start }) => start - AT)).toEqual([0, 0x1_0000, 0x1_8000]);
  });

  it("writes what is no prefetchable BAR by accesses, and counts what is no BAR", () => {
    const { device } = plug(new Display(), 1);
    phb.writeBurst(AT + 0x1_1000, 0xffff, 0, line);
    expect(device.written).toEqual(["2+0: 8", "2+8: 8"]);
    phb.writeBurst(AT + 0x50_0000, 0xffff, 0, line);
    phb.writeBurst(MEM64_WINDOW.cpu, 0xffff, 0, line);
    expect(phb.unclaimed).toBe(2);
  });
});
