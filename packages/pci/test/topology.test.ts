import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { passive } from "../src/devices/index.ts";
import { type FunctionDescription, PciError, type PciFunction, PciTopology, readBarAddress } from "../src/index.ts";
import { models, plain, q35, q35Topology } from "./support/q35.ts";

const build = (devices: FunctionDescription[], more = {}): PciTopology =>
  PciTopology.fromDescription({ domains: [{ devices, ...more }] }, { models });

/** Every BAR of a topology as an interval with its owner. */
const intervals = (topology: PciTopology, io: boolean) =>
  topology.functions
    .flatMap((fn) =>
      fn.bars
        .filter((bar) => (bar.type === "io") === io)
        .map((bar) => ({ fn, bar, from: bar.address, to: bar.address + bar.size })),
    )
    .sort((a, b) => a.from - b.from);

/** The non-prefetchable window of a bridge. */
function memoryWindow(bridge: PciFunction): { from: number; to: number } {
  const from = bridge.config.read(0x20, 2) * 0x10000;
  return { from, to: bridge.config.read(0x22, 2) * 0x10000 + 0x100000 };
}

describe("pci topology: enumeration", () => {
  test("numbers buses depth first and keeps reserved numbers free", () => {
    const topology = q35Topology();
    expect(topology.buses.map((bus) => [bus.number, bus.subordinate])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 5],
      [6, 7],
      [7, 7],
      [8, 11],
      [9, 11],
      [10, 10],
      [11, 11],
      [12, 12],
    ]);
    const bridge = topology.get("00:07.0");
    expect([0x18, 0x19, 0x1a].map((at) => bridge.config.read(at, 1))).toEqual([0, 8, 11]);
    expect(topology.get("09:01.0").secondary?.functions[0]?.name).toBe("0000:0b:00.0");
  });

  test("marks functions that share a slot and finds functions by address", () => {
    const topology = q35Topology();
    expect([topology.get("01:00.0").multifunction, topology.get("02:00.0").multifunction]).toEqual([true, false]);
    expect(topology.find("0000:0c:00.1")?.config.read(0, 4)).toBe(0x10d38086);
    expect([topology.find("0d:00.0"), topology.find("nonsense")]).toEqual([undefined, undefined]);
    expect(() => topology.get("0d:00.0")).toThrow(expect.objectContaining({ code: "NO_SUCH_FUNCTION" }));
  });

  test("binds the drivers of the description", () => {
    expect(q35Topology().get("00:03.0").driver).toBe("pcieport");
  });

  test("closing closes every device", () => {
    const closed: number[] = [];
    const device = (n: number) =>
      Object.assign(passive({ vendor: 1, device: n, classCode: 0 }), { close: () => void closed.push(n) });
    const topology = build([
      { at: "00.0", device: device(1) },
      { at: "01.0", device: device(2) },
    ]);
    topology[Symbol.dispose]();
    expect(closed).toEqual([1, 2]);
  });

  test.each<[string, FunctionDescription[], string]>([
    ["unknown model", [{ at: "00.0", model: "warp-drive" }], "DESCRIPTION"],
    ["nothing there", [{ at: "00.0" }], "DESCRIPTION"],
    ["bad place", [{ at: "0.8", model: "edu" }], "DESCRIPTION"],
    ["device out of range", [{ at: "20.0", model: "edu" }], "BDF_RANGE"],
    [
      "twice",
      [
        { at: "00.0", model: "edu" },
        { at: "0.0", model: "edu" },
      ],
      "BDF_DUPLICATE",
    ],
    ["bus number in use", [{ at: "00.0", bridge: "root-port", secondaryBus: 0 }], "DESCRIPTION"],
  ])("refuses: %s", (_name, devices, code) => {
    expect(() => build(devices)).toThrow(PciError);
    expect(() => build(devices)).toThrow(expect.objectContaining({ code }));
  });

  test("refuses a domain that is described twice", () => {
    const domain = { domain: 1, devices: [] };
    expect(() => PciTopology.fromDescription({ domains: [domain, domain] })).toThrow("PCI domain 1 is described twice");
  });
});

describe("pci topology: addresses", () => {
  test("BARs are aligned, apart, and inside the windows of the bridges above", () => {
    const topology = q35Topology();
    for (const io of [false, true]) {
      const all = intervals(topology, io);
      all.forEach((each, i) => {
        expect(each.from % each.bar.size).toBe(0);
        expect(readBarAddress(each.fn.config, each.bar)).toBe(each.from);
        if (i > 0) expect(each.from).toBeGreaterThanOrEqual(all[i - 1]!.to);
        for (let bridge = each.fn.bus.bridge; bridge && !io; bridge = bridge.bus.bridge) {
          const window = memoryWindow(bridge);
          expect(each.from >= window.from && each.to <= window.to).toBe(true);
        }
      });
    }
  });

  test("any mix of BARs is placed without overlap", () => {
    const bars = fc.array(
      fc.tuple(fc.integer({ min: 4, max: 20 }), fc.constantFrom<"mem32" | "mem64">("mem32", "mem64"), fc.boolean()),
      {
        maxLength: 3,
      },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(bars, fc.boolean()), { maxLength: 12 }), (functions) => {
        const devices = functions.map(([list, behind], i): FunctionDescription => {
          const layout = list.map(([size, type, prefetchable], n) => ({
            index: n * 2,
            type,
            size: 2 ** size,
            prefetchable,
          }));
          const device = passive({ vendor: 1, device: 1, classCode: 0, bars: layout });
          const at = `${i.toString(16)}.0`;
          return behind ? { at, bridge: "root-port", children: [{ at: "00.0", device }] } : { at, device };
        });
        const all = intervals(build(devices), false);
        all.forEach((each, i) => {
          expect(each.from % Math.max(each.bar.size, 4096)).toBe(0);
          if (i > 0) expect(each.from).toBeGreaterThanOrEqual(all[i - 1]!.to);
        });
      }),
      { numRuns: 50 },
    );
  });

  test("pages keep BARs apart where the host has large pages", () => {
    const topology = PciTopology.fromDescription({ ...q35, barAlignment: 65536 }, { models });
    expect(intervals(topology, false).every((each) => each.from % 65536 === 0)).toBe(true);
  });

  test("a sub-page BAR can be put inside its page, an address can be forced", () => {
    const bars = [{ index: 0, type: "mem32" as const, size: 1024 }];
    const topology = build([
      {
        at: "01.0",
        bridge: "root-port",
        children: [{ ...plain("00.0", 1, 0, { bars }), bars: { 0: { pageOffset: 0x8400 } } }],
      },
      { ...plain("02.0", 2, 0, { bars }), bars: { 0: { address: 0xc0000400 } } },
      plain("03.0", 3, 0, { bars }),
    ]);
    expect(topology.get("01:00.0").bar(0)!.address % 0x10000).toBe(0x8400);
    expect(topology.get("00:02.0").bar(0)!.address).toBe(0xc0000400);
    expect(topology.get("00:03.0").bar(0)!.address).not.toBe(0xc0000000);
    expect(topology.decode(0xc0000404)).toMatchObject({ bar: 0, offset: 4 });
    expect(topology.decode(0x1234)).toBeUndefined();
  });

  test.each([
    ["unaligned address", { address: 0xc0000200 }],
    ["address outside the window", { address: 0x1000 }],
    ["unaligned page offset", { pageOffset: 0x200 }],
    ["page offset too far", { pageOffset: 0x10000 }],
  ])("refuses: %s", (_name, placement) => {
    const bars = [{ index: 0, type: "mem32" as const, size: 1024 }];
    const devices = [{ ...plain("00.0", 1, 0, { bars }), bars: { 0: placement } }];
    expect(() => build(devices)).toThrow(expect.objectContaining({ code: "DESCRIPTION" }));
  });

  test("says so when a window is too small", () => {
    const memory32 = { base: 0xc0000000, size: 0x80000 };
    expect(() => build([{ at: "00.0", model: "edu" }], { memory32 })).toThrow(
      expect.objectContaining({ code: "NO_ADDRESS_SPACE", details: expect.objectContaining({ needed: 0x100000 }) }),
    );
  });

  test("a host bridge may show the CPU another address than the bus", () => {
    const memory32 = { base: 0x6000_0000_0000, size: 0x1000_0000, busBase: 0x8000_0000 };
    const bar = build([{ at: "00.0", model: "edu" }], { memory32 })
      .get("00:00.0")
      .bar(0)!;
    expect([bar.address, bar.busAddress]).toEqual([0x6000_0000_0000, 0x8000_0000]);
  });
});

describe("pci topology: access", () => {
  test("a BAR answers only while decode is on, the function is awake and present", () => {
    const fn = q35Topology().get("0c:00.1");
    const out = new Uint32Array(2);
    const read = (index: number): number => {
      fn.readBar(index, 0, 4, out);
      return out[0]!;
    };
    expect(read(0)).toBe(0xffffffff);
    fn.writeConfig(4, 2, 2);
    fn.writeBar(0, 0, 4, 0x1234, 0);
    expect([read(0), read(2), read(6)]).toEqual([0x1234, 0xffffffff, 0xffffffff]);
    fn.writeConfig(0x30, 4, fn.bar(6)!.busAddress | 1);
    expect(read(6)).toBe(0);
    fn.writeConfig(4, 2, 3);
    expect(read(2)).toBe(0);
    const pm = fn.config.findCapability(1);
    fn.writeConfig(pm + 4, 2, 3);
    expect([read(0), fn.powerState]).toEqual([0xffffffff, 3]);
    fn.responding = false;
    expect(fn.readConfig(0, 4)).toBe(0xffffffff);
  });

  test("accesses past the end of a BAR give ones", () => {
    const fn = q35Topology().get("02:00.0");
    fn.writeConfig(4, 2, 2);
    const out = new Uint32Array(2);
    fn.readBar(0, 0x100000 - 4, 8, out);
    expect([...out]).toEqual([0xffffffff, 0xffffffff]);
  });
});
