// USB host controllers with nothing plugged in: reset values, running, schedules and rings in memory, interrupts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type After, EhciDevice, UhciDevice, XhciDevice } from "../src/devices/index.ts";
import type { BarWidth } from "../src/index.ts";
import { plug } from "./support/plug.ts";

class Clock {
  readonly due: (() => void)[] = [];
  readonly after: After = (_milliseconds, run) => {
    this.due.push(run);
    return { cancel: () => void this.due.splice(this.due.indexOf(run), 1) };
  };
  tick(times = 1): void {
    for (let n = 0; n < times; n++) for (const run of this.due.splice(0)) run();
  }
}

describe("pci UHCI", () => {
  const uhci = () => {
    const clock = new Clock();
    return { clock, ...plug(new UhciDevice({ after: clock.after }), 4) };
  };

  test("is halted at power-on; ports are empty and read their reserved bit", () => {
    const { read, device } = uhci();
    expect([read(0, 2), read(2, 2), read(0xc, 1), read(0x10), read(0x14, 2)]).toEqual([
      0, 0x20, 0x40, 0x00800080, 0xff7f,
    ]);
    expect([device.config.read(0x60, 1), device.config.read(0x3d, 1)]).toEqual([0x10, 1]);
    expect(new UhciDevice({ controller: 2 }).config.read(0x3c, 4)).toBe(0x200);
  });

  test("an active transfer fails as on an empty bus, is written back, and interrupts", () => {
    const { clock, memory, irq, read, write } = uhci();
    // Frame list at 0, one queue whose element is a transfer at 0x2000.
    memory.view.setUint32(0, 0x10_1002, true);
    memory.view.setUint32(0x1000, 1, true);
    memory.view.setUint32(0x1004, 0x10_2000, true);
    memory.view.setUint32(0x2000, 1, true);
    memory.view.setUint32(0x2004, 0x1980_0000, true);
    for (let n = 1; n < 1024; n++) memory.view.setUint32(n * 4, 1, true);
    write(8, 0x10_0000);
    write(4, 0xf, 2);
    write(0, 1, 2);
    expect(read(2, 2)).toBe(0);
    clock.tick();
    expect([memory.view.getUint32(0x2004, true) >>> 0, irq.level, read(2, 2), read(6, 2)]).toEqual([
      0x0144_0000,
      true,
      3,
      1,
    ]);
    write(2, 3, 2);
    expect(irq.level).toBe(false);
    write(0, 0, 2);
    expect([read(2, 2), clock.due.length]).toEqual([0x20, 0]);
  });

  test("a schedule in refused memory halts it with a host error", () => {
    const { clock, irq, read, write } = uhci();
    write(8, 0x50_0000);
    write(0, 1, 2);
    clock.tick();
    expect([read(2, 2), read(0, 2), irq.level]).toEqual([0x28, 0, true]);
  });

  test("a list that leads into itself ends with its frame", () => {
    const { clock, memory, write, read } = uhci();
    memory.view.setUint32(0, 0x10_1002, true);
    memory.view.setUint32(0x1000, 0x10_1002, true);
    memory.view.setUint32(0x1004, 1, true);
    write(8, 0x10_0000);
    write(0, 1, 2);
    clock.tick();
    expect([memory.transfers < 1000, read(6, 2)]).toEqual([true, 1]);
  });
});

describe("pci EHCI", () => {
  const ehci = (options = {}) => {
    const clock = new Clock();
    return { clock, ...plug(new EhciDevice({ after: clock.after, ...options }), 0) };
  };

  test("ports are their companions' until it is configured", () => {
    const { read, write } = ehci({ companions: 1 });
    expect([read(4), read(0x24), read(0x64), read(0x68), read(0x6c)]).toEqual([0x1206, 0x1000, 0x3000, 0x3000, 0x1000]);
    write(0x60, 1);
    expect([read(0x60), read(0x64), read(0x6c)]).toEqual([1, 0x1000, 0x1000]);
    write(0x20, 2);
    expect([read(0x60), read(0x64)]).toEqual([0, 0x3000]);
  });

  test("capability registers can be read in parts, operational ones cannot", () => {
    const { read } = ehci();
    expect([read(0, 1), read(2, 2), read(0x20, 1), read(0x22, 2), read(0x20)]).toEqual([0x20, 0x100, 0, 0, 0x80000]);
  });

  test("runs, rolls its frame index over, and answers the doorbell", () => {
    const { clock, irq, read, write } = ehci();
    write(0x28, 0x28);
    write(0x20, 0x0008_0021);
    write(0x20, 0x0008_0061);
    expect([read(0x24), irq.level]).toEqual([0x8020, true]);
    write(0x24, 0x20);
    clock.tick(1024);
    expect([read(0x24), read(0x2c), irq.level]).toEqual([0x8008, 0x2000, true]);
    write(0x20, 0);
    expect([read(0x24) & 0x1000, clock.due.length]).toEqual([0x1000, 0]);
  });
});

describe("pci xHCI", () => {
  const BASE = 0x10_0000;
  const [COMMANDS, TABLE, EVENTS] = [0, 0x1000, 0x2000];
  const xhci = () => {
    let now = 0;
    const card = plug(new XhciDevice({ now: () => now }), 0);
    const advance = (ms: number): void => {
      now += ms;
    };
    return { ...card, advance };
  };

  /** Rings as a driver sets them up; returns what the controller put on the event ring. */
  function running() {
    const card = xhci();
    const { memory, write } = card;
    memory.view.setUint32(TABLE, BASE + EVENTS, true);
    memory.view.setUint32(TABLE + 8, 16, true);
    write(0x1028, 1);
    write(0x1030, BASE + TABLE);
    write(0x1034, 0);
    write(0x1038, BASE + EVENTS);
    write(0x1020, 2);
    write(0x58, BASE + COMMANDS + 1);
    write(0x5c, 0);
    write(0x40, 5);
    const command = (n: number, type: number, slot = 0): void =>
      memory.view.setUint32(COMMANDS + n * 16 + 12, (slot << 24) | (type << 10) | 1, true);
    const event = (n: number): number[] => [0, 8, 12].map((at) => memory.view.getUint32(EVENTS + n * 16 + at, true));
    return { ...card, command, event };
  }

  test("capabilities, ports and messages are NEC's", () => {
    const { device, read } = xhci();
    expect([read(0), read(4), read(0x44), read(0x440), read(0x4b0), read(0x2, 2)]).toEqual([
      0x01000040, 0x08001040, 1, 0x202a0, 0x202a0, 0,
    ]);
    expect([device.msi?.vectors, device.msix?.vectors, device.config.read(0x60, 1)]).toEqual([16, 16, 0x30]);
  });

  test("commands complete with events, slots come and go", () => {
    const { command, event, write, read } = running();
    [[23], [9], [11, 1], [10, 1], [10, 1], [49], [60]].forEach(([type, slot = 0], n) => {
      command(n, type!, slot);
    });
    write(0x2000, 0);
    expect(Array.from({ length: 7 }, (_, n) => event(n))).toEqual([
      [BASE, 0x0100_0000, 0x8401],
      [BASE + 0x10, 0x0100_0000, 0x0100_8401],
      [BASE + 0x20, 0x0400_0000, 0x0100_8401],
      [BASE + 0x30, 0x0100_0000, 0x0100_8401],
      [BASE + 0x40, 0x0b00_0000, 0x0100_8401],
      [BASE + 0x50, 0x0100_3021, 0x8401],
      [BASE + 0x60, 0x0500_0000, 0x8401],
    ]);
    expect([read(0x58) & 8, read(0x44) & 8]).toEqual([8, 8]);
  });

  test("the pin stays up until the event is taken; messages go by vector", () => {
    const { command, device, irq, read, write } = running();
    command(0, 23);
    write(0x2000, 0);
    expect([irq.level, read(0x1020)]).toEqual([true, 3]);
    write(0x1020, 3);
    expect(irq.level).toBe(false);
    device.msix!.program(0, 0, 0xfee00000, 0x55);
    device.msix!.setControl(true);
    command(1, 23);
    write(0x2000, 0);
    expect(irq.messages.map(({ data }) => data)).toEqual([0x55]);
  });

  test("stopping it stops the command ring; a reset puts everything back", () => {
    const { command, event, read, write, advance } = running();
    command(0, 23);
    write(0x2000, 0);
    write(0x40, 0);
    expect([event(1)[1]! >>> 24, read(0x44) & 1]).toEqual([24, 1]);
    advance(2);
    expect(read(0x1000)).toBe(16);
    write(0x40, 2);
    expect([read(0x40), read(0x44), read(0x58), read(0x1028), read(0x1000)]).toEqual([0, 1, 0, 0, 0]);
  });

  test("a ring of links ends, and events in refused memory are a host error", () => {
    const { memory, command, read, write } = running();
    memory.view.setUint32(COMMANDS, BASE + COMMANDS, true);
    command(0, 6);
    write(0x2000, 0);
    expect(memory.transfers).toBeLessThan(2000);
    command(0, 23);
    memory.hole = { from: BASE + EVENTS, to: BASE + EVENTS + 0x1000 };
    write(0x2000, 0);
    expect(read(0x44) & 5).toBe(5);
  });
});

describe("pci USB: hostile drivers", () => {
  test.each([
    ["UHCI", (after: After) => new UhciDevice({ after }), 4, 0x20],
    ["EHCI", (after: After) => new EhciDevice({ after }), 0, 0x80],
    ["xHCI", () => new XhciDevice(), 0, 0x2100],
  ] as const)("no sequence of accesses to %s throws, and power brings it back", (_name, make, bar, size) => {
    const access = fc.record({
      offset: fc.nat(size - 1),
      width: fc.constantFrom<BarWidth>(1, 2, 4, 8),
      lo: fc.oneof(fc.constantFrom(0, 1, 2, 5, 0x10_0001, 0xffff_ffff), fc.nat(0xffff_ffff)),
      hi: fc.constantFrom(0, 0xffff_ffff),
      tick: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 50 }), (accesses) => {
        const clock = new Clock();
        const fresh = plug(make(clock.after), bar);
        const used = plug(make(clock.after), bar);
        for (const { offset, width, lo, hi, tick } of accesses) {
          used.device.writeBar(bar, offset, width, lo, hi);
          used.read(offset, width);
          if (tick) clock.tick();
        }
        used.device.reset("power");
        for (const offset of [0, 4, 8, 0x10, 0x40, 0x44]) {
          if (offset < size) expect(used.read(offset)).toBe(fresh.read(offset));
        }
        used.device.close();
      }),
      { numRuns: 60 },
    );
  });
});
