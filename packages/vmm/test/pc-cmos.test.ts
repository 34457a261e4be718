import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cmos } from "../src/machines/pc/cmos.ts";
import { PortBus } from "../src/machines/pc/ports.ts";
import { property } from "./property.ts";

const [A, B, C, D, CENTURY] = [0x0a, 0x0b, 0x0c, 0x0d, 0x32];
const [SET, BINARY, H24] = [0x80, 4, 2];
/** Seconds, minutes, hours, day of the week, day, month, year, century. */
const TIME = [0, 2, 4, 6, 7, 8, 9, CENTURY];
const GIB = 2 ** 30;

function setup(now = Date.UTC(2031, 10, 29, 21, 58, 7), lowRamBytes = GIB, highRamBytes = 0) {
  const clock = { ms: now };
  const ports = new PortBus();
  new Cmos({ now: () => clock.ms, lowRamBytes, highRamBytes }).attach(ports);
  const read = (index: number): number => {
    ports.write(0x70, 1, index);
    return ports.read(0x71, 1);
  };
  const write = (index: number, value: number): void => {
    ports.write(0x70, 1, index | 0x80);
    ports.write(0x71, 1, value);
  };
  return { clock, ports, read, write, time: () => TIME.map(read) };
}

describe("vmm pc: real-time clock", () => {
  it("shows the host's time in UTC, in BCD and 24 hours to begin with", () => {
    const { time, read, clock } = setup();
    expect(time()).toEqual([0x07, 0x58, 0x21, 7, 0x29, 0x11, 0x31, 0x20]);
    expect([read(B), read(C), read(D)]).toEqual([H24, 0, 0x80]);
    clock.ms += 113_000;
    expect(time()).toEqual([0x00, 0x00, 0x22, 7, 0x29, 0x11, 0x31, 0x20]);
  });

  it("shows it in binary and in 12 hours when told to", () => {
    const { time, write, clock, read } = setup();
    write(B, H24 | BINARY);
    expect(time()).toEqual([7, 58, 21, 7, 29, 11, 31, 20]);
    write(B, BINARY);
    expect(read(4)).toBe(0x80 | 9);
    write(B, 0);
    clock.ms = Date.UTC(2031, 0, 1, 0, 5);
    expect(read(4)).toBe(0x12);
    clock.ms = Date.UTC(2031, 0, 1, 12, 5);
    expect(read(4)).toBe(0x92);
    clock.ms = Date.UTC(2031, 0, 1, 22, 5);
    expect(read(4)).toBe(0x90);
  });

  it("has UIP up for the last 2.228 ms of a second", () => {
    const { read, clock } = setup(Date.UTC(2031, 0, 1));
    for (const [ms, up] of [
      [0, 0],
      [997.7, 0],
      [997.8, 0x80],
      [999.9, 0x80],
      [1000, 0],
    ] as const) {
      clock.ms = Date.UTC(2031, 0, 1) + ms;
      expect(read(A)).toBe(0x26 | up);
    }
  });

  it("stands still while it is set, and goes on from what was set", () => {
    const { read, write, time, clock } = setup();
    clock.ms += 250;
    write(B, H24 | SET);
    clock.ms += 5749;
    expect([read(A), read(0)]).toEqual([0x26, 0x07]);
    for (const [index, value] of [
      [9, 0x99],
      [CENTURY, 0x19],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x59],
    ] as const) {
      write(index, value);
    }
    write(B, H24);
    expect(time()).toEqual([0x59, 0x59, 0x23, 6, 0x31, 0x12, 0x99, 0x19]);
    clock.ms += 1;
    expect(time()).toEqual([0, 0, 0, 7, 1, 1, 0, 0x20]);
  });

  it("starts half a second after the divider is let go, which is how Linux sets it", () => {
    const { read, write, clock } = setup();
    write(B, H24 | SET);
    write(A, 0x76);
    write(0, 0x30);
    write(B, H24);
    clock.ms += 10_000;
    expect([read(A), read(0)]).toEqual([0x76, 0x30]);
    write(A, 0x26);
    clock.ms += 499;
    expect(read(0)).toBe(0x30);
    clock.ms += 1;
    expect(read(0)).toBe(0x31);
  });

  it("takes a field while it runs, in 12 hours too", () => {
    const { read, write } = setup();
    write(B, 0);
    write(4, 0x12);
    write(B, H24);
    expect(read(4)).toBe(0x00);
    write(B, 0);
    write(4, 0x92);
    write(B, H24);
    expect(read(4)).toBe(0x12);
    write(9, 0x05);
    expect([read(9), read(CENTURY)]).toEqual([0x05, 0x20]);
  });

  it("has no interrupts to enable, and read-only registers", () => {
    const { read, write } = setup();
    write(B, 0x7f);
    write(C, 0xff);
    write(D, 0);
    write(6, 3);
    expect([read(B), read(C), read(D), read(6)]).toEqual([0x0f, 0, 0x80, 7]);
  });

  const byte = fc.nat(255);
  property(
    "whatever is set, what it reads are times and dates",
    [fc.array(fc.tuple(fc.constantFrom(...TIME, A, B), byte), { maxLength: 40, size: "max" }), fc.boolean()],
    (writes, binary) => {
      const { write, time, clock } = setup();
      for (const [index, value] of writes) {
        write(index, value);
        clock.ms += 333;
      }
      write(A, 0x26);
      write(B, H24 | (binary ? BINARY : 0));
      const [second, minute, hour, weekday, day, month, year, century] = time().map((value) =>
        binary ? value : (value >> 4) * 10 + (value & 15),
      ) as [number, number, number, number, number, number, number, number];
      const date = new Date(Date.UTC(2000, 0, 1, hour, minute, second));
      date.setUTCFullYear(century * 100 + year, month - 1, day);
      expect([date.getUTCSeconds(), date.getUTCMinutes(), date.getUTCHours()]).toEqual([second, minute, hour]);
      expect([date.getUTCDate(), date.getUTCMonth() + 1]).toEqual([day, month]);
      expect(weekday).toBe(date.getUTCDay() + 1);
    },
  );

  const moment = fc.integer({ min: Date.UTC(1980, 0, 1) / 1000, max: Date.UTC(2199, 0, 1) / 1000 });
  property("a time that is set is the time that is read", [moment, moment, fc.nat(7)], (host, wanted, mode) => {
    const { write, read, time, clock } = setup(host * 1000 + 250);
    const date = new Date(wanted * 1000);
    const format = mode & (BINARY | H24);
    const encode = (value: number): number => (format & BINARY ? value : Math.floor(value / 10) * 16 + (value % 10));
    const hours = date.getUTCHours();
    const hour = format & H24 ? encode(hours) : encode(hours % 12 || 12) + (hours >= 12 ? 0x80 : 0);
    const year = date.getUTCFullYear();
    const values = [
      encode(date.getUTCSeconds()),
      encode(date.getUTCMinutes()),
      hour,
      date.getUTCDay() + 1,
      encode(date.getUTCDate()),
      encode(date.getUTCMonth() + 1),
      encode(year % 100),
      encode(Math.floor(year / 100)),
    ];
    write(B, format | SET);
    TIME.forEach((index, n) => {
      write(index, values[n]!);
    });
    write(B, format);
    expect(time()).toEqual(values);
    clock.ms += 749;
    expect(time()).toEqual(values);
    clock.ms += 1;
    expect(read(0)).toBe(encode((date.getUTCSeconds() + 1) % 60));
  });
});

describe("vmm pc: memory of the clock", () => {
  const word = (read: (index: number) => number, at: number): number => read(at) + read(at + 1) * 256;

  it("tells the sizes of RAM", () => {
    const { read } = setup(0, 3 * GIB, 5 * GIB);
    expect([word(read, 0x15), word(read, 0x17), word(read, 0x30)]).toEqual([640, 0xffff, 0xffff]);
    expect(word(read, 0x34)).toBe((3 * GIB - 2 ** 24) / 0x1_0000);
    expect(word(read, 0x5b) + read(0x5d) * 0x1_0000).toBe((5 * GIB) / 0x1_0000);
    const small = setup(0, 12 * 2 ** 20).read;
    expect([word(small, 0x17), word(small, 0x34), word(small, 0x5b)]).toEqual([11 * 1024, 0, 0]);
  });

  it("keeps what is written, alarms too; the index cannot be read", () => {
    const { ports, read, write } = setup();
    for (const index of [1, 3, 5, 0x0f, 0x40, 0x7f]) {
      write(index, 0xc0 + (index & 15));
      expect(read(index)).toBe(0xc0 + (index & 15));
    }
    expect(ports.read(0x70, 1)).toBe(0xff);
    expect(read(0x40)).toBe(0xc0);
  });
});
