import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type After, type EduOptions, edu } from "../src/devices/index.ts";
import { FakeMemory, IrqLog } from "./support/memory.ts";

class Clock {
  readonly due: { at: number; run: () => void }[] = [];
  readonly after: After = (milliseconds, run) => {
    const entry = { at: milliseconds, run };
    this.due.push(entry);
    return { cancel: () => void this.due.splice(this.due.indexOf(entry), 1) };
  };
  fire(): number[] {
    const fired = this.due.splice(0);
    for (const each of fired) each.run();
    return fired.map((each) => each.at);
  }
}

function plug(options: EduOptions = {}) {
  const clock = new Clock();
  const device = edu({ after: clock.after, ...options });
  const memory = new FakeMemory(0x10000, 0x10000);
  const irq = new IrqLog();
  device.dma = memory;
  device.irq = irq;
  device.config.write(4, 2, 6);
  const out = new Uint32Array(2);
  const read = (offset: number, width: 1 | 2 | 4 | 8 = 4): number[] => {
    device.readBar(0, offset, width, out);
    return width === 8 ? [...out] : [out[0]!];
  };
  const write = (offset: number, lo: number, hi?: number): void =>
    device.writeBar(0, offset, hi === undefined ? 4 : 8, lo, hi ?? 0);
  return { clock, device, memory, irq, read, write };
}

describe("pci edu: registers", () => {
  test("identification, liveness and the access rules", () => {
    const { read, write, device } = plug();
    expect(device.config.read(0, 4)).toBe(0x11e81234);
    expect(read(0)).toEqual([0x010000ed]);
    expect(read(4)).toEqual([0]);
    write(4, 0x12345678);
    expect(read(4)).toEqual([0xedcba987]);
    expect([read(0, 1), read(0, 2), read(0x80, 2), read(0x40)]).toEqual([[0], [0], [0], [0xffffffff]]);
    expect([read(0, 8), read(0x80, 8), read(0x84)]).toEqual([[0xffffffff, 0xffffffff], [0, 0], [0xffffffff]]);
  });

  test.each([
    [0, 1],
    [1, 1],
    [5, 120],
    [12, 479001600],
    [13, 1932053504],
    [33, 2147483648],
    [34, 0],
    [0xffffffff, 0],
  ])("%i! is %i modulo 2^32", (n, product) => {
    const { read, write } = plug();
    write(8, n);
    expect([read(8), read(0x20)]).toEqual([[product], [0]]);
  });

  test("a factorial interrupts when asked to", () => {
    const { write, read, irq } = plug();
    write(0x20, 0xff);
    expect(read(0x20)).toEqual([0x80]);
    write(8, 3);
    expect([irq.level, read(0x24)]).toEqual([true, [1]]);
    write(0x64, 1);
    expect([irq.level, read(0x24)]).toEqual([false, [0]]);
  });
});

describe("pci edu: interrupts", () => {
  test("INTx falls only when every bit is acknowledged", () => {
    const { write, irq } = plug();
    write(0x60, 6);
    write(0x64, 2);
    expect(irq.level).toBe(true);
    write(0x64, 4);
    expect(irq.level).toBe(false);
  });

  test("MSI sends a message a raise and leaves the pin alone; without bus mastering it is lost", () => {
    const { write, irq, device } = plug();
    device.msi!.program(1, 0xfee00000, 0x4321);
    write(0x60, 1);
    write(0x60, 1);
    expect(irq.messages).toHaveLength(2);
    expect(irq.messages[0]).toEqual({ vector: 0, addressHi: 1, addressLo: 0xfee00000, data: 0x4321 });
    device.config.write(4, 2, 2);
    write(0x60, 1);
    expect([irq.messages.length, irq.level]).toEqual([2, false]);
  });
});

describe("pci edu: DMA", () => {
  const start = (
    write: (offset: number, lo: number, hi?: number) => void,
    from: number,
    to: number,
    count: number,
    command: number,
  ) => {
    write(0x80, from, 0);
    write(0x88, to, 0);
    write(0x90, count);
    write(0x98, command);
  };

  test("memory to buffer and back after 100 ms, with an interrupt at the end", () => {
    const { write, read, memory, clock, irq } = plug();
    memory.bytes.set([1, 2, 3, 4], 0x100);
    start(write, 0x10100, 0x40010, 4, 5);
    expect(read(0x98)).toEqual([5]);
    write(0x80, 0xdead);
    expect(read(0x80)).toEqual([0x10100]);
    expect(clock.fire()).toEqual([100]);
    expect([read(0x98), read(0x24), irq.level]).toEqual([[4], [0x100], true]);
    start(write, 0x40010, 0x10200, 4, 3);
    clock.fire();
    expect([...memory.bytes.subarray(0x200, 0x204)]).toEqual([1, 2, 3, 4]);
  });

  test("the whole buffer fits; beyond it nothing moves", () => {
    const { write, memory, clock, device, read } = plug();
    memory.bytes.fill(7);
    start(write, 0x10000, 0x40000, 4096, 1);
    clock.fire();
    expect(device.buffer.every((byte) => byte === 7)).toBe(true);
    const before = memory.transfers;
    for (const [to, count] of [
      [0x40001, 4096],
      [0x3ffff, 1],
      [0x41000, 1],
      [0x40000, 0xffffffff],
    ] as const) {
      start(write, 0x10000, to, count, 1);
      clock.fire();
      expect(read(0x98)).toEqual([0]);
    }
    expect(memory.transfers).toBe(before);
  });

  test("addresses lose the bits the engine has no lines for", () => {
    const { write, memory, clock, device } = plug();
    memory.bytes[0] = 0x5a;
    start(write, 0x10010000, 0x40000, 1, 1);
    clock.fire();
    expect(device.buffer[0]).toBe(0x5a);
  });

  test("a refused read leaves zeroes", () => {
    const { write, clock, device, memory } = plug();
    device.buffer.fill(9);
    start(write, 0x900000, 0x40000, 8, 1);
    clock.fire();
    expect([memory.refused, ...device.buffer.subarray(7, 9)]).toEqual([1, 0, 9]);
  });

  test("only a power cycle cancels the transfer and clears the registers", () => {
    const { write, read, clock, device } = plug();
    write(4, 1);
    start(write, 0x10000, 0x40000, 4, 5);
    device.reset("bus");
    expect([clock.due.length, read(4), read(0x98), read(0x80)]).toEqual([1, [0xfffffffe], [5], [0x10000]]);
    device.reset("power");
    expect([clock.due.length, read(4), read(0x98), read(0x80)]).toEqual([0, [0], [0], [0]]);
  });
});

describe("pci edu: hostile drivers", () => {
  test("no sequence of accesses throws or leaves the device deaf", () => {
    const access = fc.record({
      offset: fc.oneof(fc.constantFrom(4, 8, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98), fc.nat(0xfffff)),
      width: fc.constantFrom<1 | 2 | 4 | 8>(1, 2, 4, 8),
      lo: fc.oneof(fc.constantFrom(0, 1, 3, 5, 7, 0x40000, 0x10000), fc.nat(0xffffffff)),
      hi: fc.constantFrom(0, 0, 0xffffffff),
      fire: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
        const { device, clock, read, write } = plug({ dmaBits: 64 });
        const out = new Uint32Array(2);
        for (const each of accesses) {
          device.writeBar(0, each.offset, each.width, each.lo, each.hi);
          device.readBar(0, each.offset, each.width, out);
          if (each.fire) clock.fire();
        }
        clock.fire();
        expect(read(0x98)[0]! & 1).toBe(0);
        write(4, 0);
        expect(read(4)).toEqual([0xffffffff]);
      }),
    );
  });
});
