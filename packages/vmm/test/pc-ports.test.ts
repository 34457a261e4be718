import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PortBus, type PortDevice, type PortWidth } from "../src/machines/pc/ports.ts";
import { property } from "./property.ts";

/** Reads give the port's low byte in every byte, and everything is noted. */
class Noted implements PortDevice {
  readonly seen: string[] = [];
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  read(port: number, width: PortWidth): number {
    this.seen.push(`${this.name} read ${port.toString(16)}/${width}`);
    let value = 0;
    for (let i = 0; i < width; i++) value += ((port + i) & 0xff) * 2 ** (i * 8);
    return value;
  }

  write(port: number, width: PortWidth, value: number): void {
    this.seen.push(`${this.name} write ${port.toString(16)}/${width} ${value.toString(16)}`);
  }
}

describe("vmm pc: I/O ports", () => {
  it("reads ones, counted, where nobody is, also behind the last port", () => {
    const ports = new PortBus();
    expect(ports.read(0x1234, 1)).toBe(0xff);
    expect(ports.read(0x1234, 2)).toBe(0xffff);
    expect(ports.read(0xffff, 4)).toBe(0xffffffff);
    ports.write(0xffff, 4, 5);
    expect(ports.unclaimed).toBe(4);
  });

  it("gives a whole access to the device that has all of it", () => {
    const ports = new PortBus();
    const device = new Noted("a");
    ports.claim(0x60, 8, device);
    expect(ports.read(0x64, 4)).toBe(0x67666564);
    ports.write(0x66, 2, 0xabcd);
    expect(device.seen).toEqual(["a read 64/4", "a write 66/2 abcd"]);
    expect(ports.unclaimed).toBe(0);
  });

  it("takes an access over a border apart into bytes", () => {
    const ports = new PortBus();
    const [low, high] = [new Noted("low"), new Noted("high")];
    ports.claim(0x70, 2, low);
    ports.claim(0x72, 1, high);
    expect(ports.read(0x70, 4)).toBe(0xff727170);
    ports.write(0x71, 2, 0xa1b2);
    expect(low.seen).toEqual(["low read 70/1", "low read 71/1", "low write 71/1 b2"]);
    expect(high.seen).toEqual(["high read 72/1", "high write 72/1 a1"]);
    expect(ports.unclaimed).toBe(1);
  });

  it("lets a byte register lie inside a dword one, whichever was claimed first", () => {
    for (const order of [0, 1]) {
      const ports = new PortBus();
      const [address, reset] = [new Noted("address"), new Noted("reset")];
      const claims = [() => ports.claim(0xcf8, 4, address), () => ports.claim(0xcf9, 1, reset)];
      claims[order]!();
      claims[1 - order]!();
      ports.write(0xcf8, 4, 0x8000_0000);
      ports.write(0xcf9, 1, 6);
      ports.write(0xcfb, 1, 1);
      ports.write(0xcf9, 2, 0x0506);
      expect(address.seen).toEqual(["address write cf8/4 80000000", "address write cfb/1 1", "address write cfa/1 5"]);
      expect(reset.seen).toEqual(["reset write cf9/1 6", "reset write cf9/1 6"]);
    }
  });

  it("refuses ranges that are equal, that cross, or that are no ports", () => {
    const ports = new PortBus();
    const device = new Noted("a");
    ports.claim(0x100, 0x10, device);
    for (const [first, count] of [
      [0x100, 0x10],
      [0x108, 0x10],
      [0xf8, 0x10],
      [0xfff8, 0x10],
      [-1, 4],
      [0x200, 0],
    ] as const) {
      expect(() => ports.claim(first, count, device)).toThrow(expect.objectContaining({ code: "USAGE_DEVICE" }));
    }
  });

  const span = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 12 }));
  const access = fc.tuple(fc.integer({ min: 0, max: 48 }), fc.constantFrom(1, 2, 4));

  property(
    "answers every byte from the smallest range that has it",
    [fc.array(span, { maxLength: 8 }), fc.array(access, { minLength: 1, maxLength: 40, size: "max" })],
    (spans, accesses) => {
      const ports = new PortBus();
      const taken: { first: number; count: number; byte: number }[] = [];
      spans.forEach(([first, count], n) => {
        const byte = n + 1;
        const all = byte * 0x01010101;
        const device = { read: (_: number, width: PortWidth) => all % 2 ** (width * 8), write: () => {} };
        try {
          ports.claim(first, count, device);
          taken.push({ first, count, byte });
        } catch {
          // Crosses one before it.
        }
      });
      const owner = (port: number) =>
        taken.filter(({ first, count }) => port >= first && port < first + count).sort((a, b) => a.count - b.count)[0];
      for (const [port, width] of accesses) {
        const first = owner(port);
        const whole = first !== undefined && port + width <= first.first + first.count;
        let expected = 0;
        for (let i = 0; i < width; i++) {
          expected += ((whole ? first : owner(port + i))?.byte ?? 0xff) * 2 ** (i * 8);
        }
        expect(ports.read(port, width as PortWidth)).toBe(expected);
      }
    },
  );
});
