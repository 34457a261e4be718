import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PciBus } from "../src/pci/bus.ts";
import type { BarDescription, EndpointWires, PciEndpoint } from "../src/pci/endpoint.ts";
import { property } from "./property.ts";

/** A function whose register n is the bus address of BAR n; its memory reads give its slot, BAR and offset. */
class FakeFunction implements PciEndpoint {
  readonly name = "fake";
  readonly configSize = 256;
  readonly msiVectors = 0;
  readonly msixVectors = 0;
  readonly problems: string[] = [];
  readonly bars: BarDescription[];
  readonly interruptPin: number;
  readonly addresses: number[];
  wires: EndpointWires | undefined;
  ended = 0;
  onDecoding: (bar: number, address: number) => void = () => {};
  private readonly mark: number;

  constructor(mark: number, sizes: readonly number[], interruptPin = 1) {
    this.mark = mark;
    this.interruptPin = interruptPin;
    this.bars = sizes.map((size, index) => ({ index, size, type: "mem32", prefetchable: false }));
    this.addresses = sizes.map(() => -1);
  }

  connect(wires: EndpointWires): void {
    this.wires = wires;
  }
  readConfig(offset: number): number {
    return this.addresses[offset] ?? 0;
  }
  writeConfig(offset: number, _width: 1 | 2 | 4, value: number): void {
    this.addresses[offset] = value;
  }
  barAddress(bar: BarDescription): number {
    return this.addresses[bar.index]!;
  }
  readBar(index: number, offset: number, _width: number, out: Uint32Array): void {
    out[0] = markOf(this.mark, index, offset);
  }
  writeBar(): void {}
  programMessages(): void {}
  intxEnded(): void {
    this.ended++;
  }
  decodingChanged(bar: BarDescription, address: number): void {
    this.onDecoding(bar.index, address);
  }
  close(): void {}
}

const markOf = (slot: number, bar: number, offset: number): number => slot * 0x1_0000 + bar * 0x1000 + offset;

/** Lets the tests make accesses, which are a host bridge's own way in. */
class TestBus extends PciBus {
  readonly levels: [number, boolean][] = [];

  constructor(pinsInKernel = false) {
    const levels: [number, boolean][] = [];
    super({
      memory: [
        { cpu: 0x1000, bus: 0, size: 0x80 },
        { cpu: 0x8000, bus: 0x400, size: 0x40 },
      ],
      io: [],
      pins: { first: 16, count: 8 },
      pinsInKernel,
      setInput: (input, level) => levels.push([input, level]),
      message: () => {},
    });
    this.levels = levels;
  }

  load(address: number, width: 1 | 2 | 4 | 8): { inside: boolean; value: number } {
    const out = new Uint32Array(2);
    const inside = this.memory.read(address, width, out);
    return { inside, value: out[0]! };
  }
}

const functions = fc.array(fc.array(fc.constantFrom(16, 32, 64), { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 4,
});
/** Which function, which BAR, where to: inside and outside the windows, on any multiple of eight. */
const write = fc.tuple(
  fc.nat(3),
  fc.nat(2),
  fc.oneof(
    fc.constant(-1),
    fc.nat(0x24).map((n) => n * 8),
  ),
);
const load = fc.tuple(
  fc.oneof(fc.integer({ min: 0xff0, max: 0x1090 }), fc.integer({ min: 0x7ff0, max: 0x8050 })),
  fc.constantFrom(1, 2, 4, 8),
);
const toBus = (n: number): number => (n < 0 ? -1 : n <= 0xa0 ? n : 0x400 + n - 0xb0);

interface Placed {
  readonly slot: number;
  readonly bar: number;
  readonly start: number;
  readonly end: number;
}

/** What is decoded, in the order in which functions answer. */
function decoded(plugged: readonly FakeFunction[]): Placed[] {
  return plugged.flatMap((fn, n) =>
    fn.bars.flatMap(({ index, size }) => {
      const bus = fn.addresses[index]!;
      const start = bus >= 0x400 && bus + size <= 0x440 ? bus - 0x400 + 0x8000 : bus + 0x1000;
      const inside = start >= 0x8000 || (bus >= 0 && bus + size <= 0x80);
      return inside ? [{ slot: n + 1, bar: index, start, end: start + size }] : [];
    }),
  );
}

const meets = (a: { start: number; end: number }, b: { start: number; end: number }): boolean =>
  a.start < b.end && b.start < a.end;

describe("vmm pci: root bus", () => {
  property(
    "an access is answered by the lowest slot that decodes all of it, and by nobody else",
    [
      functions,
      fc.array(fc.tuple(write, fc.array(load, { maxLength: 6 })), { minLength: 1, maxLength: 20, size: "max" }),
    ],
    (shapes, steps) => {
      const bus = new TestBus();
      const plugged = shapes.map((sizes, n) => new FakeFunction(n + 1, sizes));
      for (const fn of plugged) bus.plug(fn);
      let unclaimed = 0;
      for (const [[n, bar, to], loads] of steps) {
        const fn = plugged[n % plugged.length]!;
        bus.configWrite(((n % plugged.length) + 1) << 3, bar % fn.bars.length, 1, toBus(to));
        for (const [address, width] of loads) {
          const hit = decoded(plugged).find(({ start, end }) => address >= start && address + width <= end);
          const inside =
            (address >= 0x1000 && address < 0x1080) || (address >= 0x8000 && address < 0x8040) || hit !== undefined;
          const { inside: answered, value } = bus.load(address, width as 1 | 2 | 4 | 8);
          expect(answered).toBe(inside);
          if (hit !== undefined) expect(value).toBe(markOf(hit.slot, hit.bar, address - hit.start));
          else {
            expect(value).toBe(width >= 4 ? 0xffffffff : 2 ** (width * 8) - 1);
            if (inside) unclaimed++;
          }
        }
      }
      expect(bus.unclaimed).toBe(unclaimed);
    },
  );

  property(
    "endpoints are told where a BAR is theirs alone, never two of them one address",
    [functions, fc.array(write, { minLength: 1, maxLength: 40, size: "max" })],
    (shapes, writes) => {
      const bus = new TestBus();
      const plugged = shapes.map((sizes, n) => new FakeFunction(n + 1, sizes));
      const told = new Map<string, Placed>();
      plugged.forEach((fn, n) => {
        bus.plug(fn);
        fn.onDecoding = (bar, start) => {
          const key = `${n + 1}.${bar}`;
          expect(told.get(key)?.start ?? -1).not.toBe(start);
          told.delete(key);
          if (start < 0) return;
          const placed = { slot: n + 1, bar, start, end: start + fn.bars[bar]!.size };
          for (const other of told.values()) expect(meets(other, placed)).toBe(false);
          told.set(key, placed);
        };
      });
      for (const [n, bar, to] of writes) {
        const fn = plugged[n % plugged.length]!;
        bus.configWrite(((n % plugged.length) + 1) << 3, bar % fn.bars.length, 1, toBus(to));
        const all = decoded(plugged);
        const alone = all.filter((placed, i) => !all.slice(0, i).some((earlier) => meets(earlier, placed)));
        const keyed = ({ slot, bar }: Placed): string => `${slot}.${bar}`;
        expect(new Map(told)).toEqual(new Map(alone.map((placed) => [keyed(placed), placed])));
      }
    },
  );

  it("a BAR is not asked for addresses that it shares with a lower slot's, even right after it answered", () => {
    const bus = new TestBus();
    bus.plug(new FakeFunction(1, [16]));
    bus.plug(new FakeFunction(2, [64]));
    bus.configWrite(2 << 3, 0, 1, 0);
    bus.configWrite(1 << 3, 0, 1, 16);
    expect(bus.load(0x1000, 4).value).toBe(markOf(2, 0, 0));
    expect(bus.load(0x1010, 4).value).toBe(markOf(1, 0, 0));
    expect(bus.load(0x1020, 4).value).toBe(markOf(2, 0, 32));
  });

  it("decodes anew when told that a function lost its addresses by itself", () => {
    const bus = new TestBus();
    const fn = new FakeFunction(1, [16]);
    bus.plug(fn);
    bus.configWrite(1 << 3, 0, 1, 0);
    const told: number[] = [];
    fn.onDecoding = (_bar, address) => told.push(address);
    fn.addresses[0] = -1;
    bus.updateDecoding(fn);
    expect(told).toEqual([-1]);
    expect(bus.load(0x1000, 1).value).toBe(0xff);
  });

  it("has functions 0 of bus 0 only, and only registers that they have", () => {
    const bus = new TestBus();
    bus.plug(new FakeFunction(1, [16]), 31);
    expect(bus.configRead(31 << 3, 0, 4)).toBe(0xffffffff);
    expect(bus.configRead((31 << 3) | 1, 0, 4)).toBe(-1);
    expect(bus.configRead(30 << 3, 0, 4)).toBe(-1);
    expect(bus.configRead(0, 0, 4)).toBe(-1);
    expect(bus.configWrite(31 << 3, 256, 4, 0)).toBe(false);
    expect(bus.configRead(31 << 3, 2, 4)).toBe(-1);
    expect(bus.configRead(31 << 3, 0, 3)).toBe(-1);
  });

  it("an input is high while any function on its line is, and all of them hear that it ended", () => {
    const bus = new TestBus();
    const [a, b, c] = [new FakeFunction(1, []), new FakeFunction(2, []), new FakeFunction(3, [])];
    bus.plug(a, 1);
    bus.plug(b, 9);
    bus.plug(c, 31);
    a.wires?.intx(true);
    b.wires?.intx(true);
    c.wires?.intx(true);
    bus.pinEnded(17);
    bus.pinEnded(99);
    expect([a.ended, b.ended, c.ended]).toEqual([1, 1, 0]);
    a.wires?.intx(false);
    a.wires?.intx(false);
    b.wires?.intx(false);
    c.wires?.intx(false);
    expect(bus.levels).toEqual([
      [17, true],
      [23, true],
      [17, false],
      [23, false],
    ]);
    bus.pinEnded(17);
    expect(a.ended).toBe(1);
  });

  it("tells an endpoint the input of its pin where the kernel takes pins", () => {
    const [a, b, c] = [new FakeFunction(1, []), new FakeFunction(2, [], 4), new FakeFunction(3, [], 0)];
    const kernel = new TestBus(true);
    for (const fn of [a, b, c]) kernel.plug(fn);
    expect([a.wires?.gsi, b.wires?.gsi, c.wires?.gsi]).toEqual([17, 21, undefined]);
    const monitor = new TestBus();
    monitor.plug(a);
    expect(a.wires).not.toHaveProperty("gsi");
  });

  it("refuses slots that do not exist, are taken, or are all taken", () => {
    const bus = new TestBus();
    const refused = (wanted?: number): void =>
      expect(() => bus.plug(new FakeFunction(0, []), wanted)).toThrow(
        expect.objectContaining({ code: "USAGE_DEVICE" }),
      );
    for (const slot of [0, 32, -1, 1.5, Number.NaN]) refused(slot);
    for (let slot = 1; slot < 32; slot++) expect(bus.plug(new FakeFunction(slot, []))).toBe(slot);
    refused(7);
    refused();
  });
});
