import { PassiveDevice } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignResources } from "../src/machines/pc/firmware.ts";
import { PcHostBridge } from "../src/machines/pc/host-bridge.ts";
import { type AddressRange, IO_WINDOW, MEM32_WINDOW, mem64Window, pciGsi } from "../src/machines/pc/memory-map.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { TestFunction } from "./fakes.ts";
import { property } from "./property.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const NO_DMA = { read: () => false, write: () => false };
const NONE: AddressRange = { start: 0, size: 0 };
const MEM64 = mem64Window(39, 5 * GIB);

type Bar = readonly ["mem32" | "mem64" | "io", number];

/** Registers without anything behind them. */
class BareFunction extends PassiveDevice {
  constructor(bars: readonly Bar[]) {
    super({ vendor: 1, device: 2, classCode: 0, interruptPin: 1 });
    let index = 0;
    for (const [type, size] of bars) {
      this.addBar({ index, type, size, prefetchable: type === "mem64" });
      index += type === "mem64" ? 2 : 1;
    }
  }
}

function setup(functions: readonly (readonly Bar[])[], mem64 = MEM64) {
  const bridge = new PcHostBridge({ mem64, setGsi: () => {}, sendMessage: () => {} });
  functions.forEach((bars, n) => {
    bridge.plug(new EmulatedEndpoint(`dev${n}`, new BareFunction(bars), NO_DMA));
  });
  return bridge;
}

/** By function and BAR: where it is decoded, -1 for nowhere. */
const addresses = (bridge: PcHostBridge): number[][] =>
  bridge.slots.map(({ endpoint }) => endpoint.bars.map((bar) => endpoint.barAddress(bar)));

describe("vmm pc: firmware", () => {
  it("gives BARs addresses, notes inputs of pins, and turns decoding on", () => {
    const bridge = setup([
      [
        ["mem32", 0x4000],
        ["io", 0x20],
      ],
      [["mem32", MIB]],
    ]);
    expect(assignResources(bridge)).toEqual([]);
    expect(addresses(bridge)).toEqual([[MEM32_WINDOW.start + MIB, IO_WINDOW.start], [MEM32_WINDOW.start]]);
    for (const slot of [1, 2]) {
      expect(bridge.configRead(slot << 3, 4, 2)).toBe(3);
      expect(bridge.configRead(slot << 3, 0x3c, 1)).toBe(pciGsi(slot, 1));
    }
  });

  it("puts 64-bit BARs below 4 GiB while they fit beside those that must be there", () => {
    const bridge = setup([[["mem64", 256 * MIB]], [["mem64", 256 * MIB]], [["mem32", 64 * MIB]], [["mem64", 8 * GIB]]]);
    expect(assignResources(bridge)).toEqual([]);
    expect(addresses(bridge)).toEqual([
      [MEM32_WINDOW.start + 256 * MIB],
      [MEM64.start + 8 * GIB],
      [MEM32_WINDOW.start],
      [MEM64.start],
    ]);
  });

  it("gives no two memory BARs one page", () => {
    const bridge = setup([
      [
        ["mem32", 16],
        ["mem32", 256],
      ],
    ]);
    assignResources(bridge);
    expect(addresses(bridge)).toEqual([[MEM32_WINDOW.start, MEM32_WINDOW.start + 0x1000]]);
  });

  it("leaves a function out that does not fit, says so, and gives its room to the others", () => {
    const big: readonly Bar[] = [
      ["mem32", 256 * MIB],
      ["io", 4],
    ];
    const bridge = setup([big, [["mem32", 512 * MIB]], big], NONE);
    const problems = assignResources(bridge);
    expect(problems).toHaveLength(2);
    expect(problems.join()).toMatch(/dev0.*dev2/);
    expect(addresses(bridge)).toEqual([[-1, IO_WINDOW.start], [MEM32_WINDOW.start], [-1, IO_WINDOW.start + 4]]);
    expect(bridge.configRead(1 << 3, 4, 2)).toBe(1);
  });

  it("says no to a BAR that no window could hold", () => {
    const huge = setup([[["mem64", 256 * GIB]]]);
    expect(() => assignResources(huge)).toThrow(
      expect.objectContaining({
        code: "USAGE_DEVICE",
        message: expect.stringContaining("dev0: BAR 0 has 274877906944"),
      }),
    );
    for (const bars of [[["mem32", GIB]], [["mem64", GIB]]] as const) {
      expect(() => assignResources(setup([bars], NONE))).toThrow(expect.objectContaining({ code: "USAGE_DEVICE" }));
    }
  });

  it("what it programmed is what the bus decodes", () => {
    const bridge = setup([[["mem32", 0x1000]]]);
    const device = new TestFunction();
    bridge.plug(new EmulatedEndpoint("test", device, NO_DMA));
    expect(assignResources(bridge)).toEqual([]);
    device.registers[8] = 0x5a;
    const [at] = addresses(bridge)[1]!;
    const out = new Uint32Array(2);
    bridge.read(at! + 8, 1, out);
    expect(out[0]).toBe(0x5a);
  });

  const memory = fc.tuple(
    fc.constantFrom("mem32", "mem64"),
    fc.integer({ min: 4, max: 29 }).map((n) => 2 ** n),
  );
  const io = fc.tuple(
    fc.constant("io"),
    fc.integer({ min: 2, max: 8 }).map((n) => 2 ** n),
  );
  const bars = fc.array(fc.oneof(memory, io), { maxLength: 3 }) as fc.Arbitrary<Bar[]>;
  property(
    "addresses are aligned, apart and inside their windows, or all of the function's are missing and reported",
    [fc.array(bars, { maxLength: 10, size: "max" }), fc.boolean()],
    (functions, with64) => {
      const mem64 = with64 ? MEM64 : NONE;
      const bridge = setup(functions, mem64);
      const problems = assignResources(bridge);
      const all = addresses(bridge).flatMap((list, n) =>
        list.map((address, i) => ({ address, type: functions[n]![i]![0], size: functions[n]![i]![1], n })),
      );
      const placed = all.filter(({ address }) => address >= 0);
      for (const [i, { address, size, type }] of placed.entries()) {
        expect(address % size).toBe(0);
        const windows = type === "io" ? [IO_WINDOW] : type === "mem32" ? [MEM32_WINDOW] : [MEM32_WINDOW, mem64];
        expect(windows.some((w) => address >= w.start && address + size <= w.start + w.size)).toBe(true);
        for (const other of placed.slice(i + 1)) {
          if ((other.type === "io") !== (type === "io")) continue;
          expect(address + size <= other.address || other.address + other.size <= address).toBe(true);
        }
      }
      for (const { n, address, type } of all) {
        const missing = address < 0;
        if (missing) expect(problems.some((text) => text.includes(`dev${n}:`))).toBe(true);
        const siblings = all.filter((bar) => bar.n === n && (bar.type === "io") === (type === "io"));
        expect(siblings.every((bar) => bar.address < 0 === missing)).toBe(true);
      }
      if (with64) expect(problems.filter((text) => text.includes("mem64"))).toEqual([]);
    },
  );
});
