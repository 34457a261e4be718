import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConsolePort } from "../src/console.ts";
import { PortBus } from "../src/machines/pc/ports.ts";
import { Uart } from "../src/machines/pc/uart.ts";
import { property } from "./property.ts";
import { DTR, LOOP, OUT1, OUT2, RTS, UartReference } from "./uart-reference.ts";

const [RX, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const [TX, FCR] = [RX, IIR];

function setup() {
  const written: number[] = [];
  let deliver: (bytes: Uint8Array) => void = () => {};
  const console = new ConsolePort({
    write: (bytes) => written.push(...bytes),
    onInput: (take) => {
      deliver = take;
    },
  });
  const edges: boolean[] = [];
  const ports = new PortBus();
  new Uart(console, (level) => edges.push(level)).attach(ports);
  return {
    console,
    edges,
    type: (...bytes: number[]) => deliver(Uint8Array.from(bytes)),
    sent: () => {
      console.flush();
      return written;
    },
    read: (register: number) => ports.read(0x3f8 + register, 1),
    write: (register: number, value: number) => ports.write(0x3f8 + register, 1, value),
    ports,
    get level() {
      return edges.at(-1) ?? false;
    },
  };
}

describe("vmm pc: serial port", () => {
  it("is a 16550A to Linux's autoconfig, and nothing newer", () => {
    const { read, write, sent } = setup();
    write(IER, 0);
    expect(read(IER) & 0xf).toBe(0);
    write(IER, 0xff);
    expect(read(IER)).toBe(0x0f);
    write(IER, 0);
    write(MCR, LOOP | OUT2 | RTS);
    expect(read(MSR) & 0xf0).toBe(0x90);
    write(MCR, 0);
    write(LCR, 0xbf);
    write(FCR, 0);
    write(LCR, 0);
    write(FCR, 1);
    expect(read(IIR) & 0xc0).toBe(0xc0);
    // No EFR behind LCR 0x80 or 0xbf, no second bank behind 0xe0, no 64-byte FIFO.
    for (const lcr of [0x80, 0xbf]) {
      write(LCR, lcr);
      expect(read(IIR)).not.toBe(0);
    }
    for (const mcr of [0, LOOP]) {
      write(LCR, 0);
      write(MCR, mcr);
      write(LCR, 0xe0);
      expect(read(IIR) & LOOP).toBe(0);
    }
    write(MCR, 0);
    for (const lcr of [0, 0x80]) {
      write(LCR, lcr);
      write(FCR, 0x21);
      expect(read(IIR) & 0xe0).toBe(0xc0);
      write(FCR, 1);
    }
    write(LCR, 0);
    write(IER, 0x40);
    expect(read(IER)).toBe(0);
    // The divisor reads back as written; zero gives no chip's revision away.
    write(LCR, 0x80);
    write(0, 0);
    write(1, 0);
    expect([read(0), read(1)]).toEqual([0, 0]);
    write(0, 0x34);
    write(1, 0x12);
    expect([read(0), read(1)]).toEqual([0x34, 0x12]);
    write(LCR, 3);
    expect(read(IER)).toBe(0);
    // The FIFO holds 16 of 256 bytes that loop back.
    write(FCR, 7);
    write(MCR, LOOP);
    for (let byte = 0; byte < 256; byte++) write(TX, byte);
    const held: number[] = [];
    while (read(LSR) & 1) held.push(read(RX));
    expect(held).toEqual([...Array(16).keys()]);
    write(SCR, 0xa5);
    expect(read(SCR)).toBe(0xa5);
    expect(sent()).toEqual([]);
  });

  it("asserts the interrupt of an empty transmitter whenever it is enabled, as startup tests", () => {
    const { read, write } = setup();
    for (const _ of [1, 2]) {
      write(IER, 2);
      expect(read(IIR) & 0xf).toBe(2);
      expect(read(IIR) & 0xf).toBe(1);
      write(IER, 0);
    }
    expect(read(LSR)).toBe(0x60);
    write(IER, 2);
    expect(read(LSR) & 0x40).toBe(0x40);
    expect(read(IIR) & 1).toBe(0);
  });

  it("sends what is written, with one interrupt for a burst into the FIFO", () => {
    const { write, read, sent, edges } = setup();
    write(FCR, 1);
    write(MCR, OUT2);
    write(IER, 2);
    expect(edges).toEqual([true]);
    expect(read(IIR)).toBe(0xc2);
    for (const byte of [0x68, 0x69, 0x21]) write(TX, byte);
    expect(edges).toEqual([true, false, true]);
    expect(read(IIR)).toBe(0xc2);
    write(IER, 0);
    expect(edges).toEqual([true, false, true, false]);
    expect(sent()).toEqual([0x68, 0x69, 0x21]);
  });

  it("without FIFOs each byte makes an edge, even when the cause is not read", () => {
    const { write, edges } = setup();
    write(MCR, OUT2);
    write(IER, 2);
    write(TX, 1);
    write(TX, 2);
    expect(edges).toEqual([true, false, true, false, true]);
  });

  it("holds input back until the guest raises RTS", () => {
    const { read, write, type, console } = setup();
    type(1, 2, 3);
    write(FCR, 7);
    expect(read(LSR) & 1).toBe(0);
    write(MCR, RTS);
    expect([read(RX), read(LSR) & 1, read(RX)]).toEqual([1, 1, 2]);
    write(MCR, 0);
    type(4);
    expect([read(RX), read(LSR) & 1]).toEqual([3, 0]);
    write(MCR, RTS);
    expect(read(RX)).toBe(4);
    expect(console.inputDropped).toBe(0);
  });

  it("gives a guest that polls without the handshake a byte at its second look", () => {
    const { read, write, type, edges } = setup();
    type(7, 8);
    expect([read(LSR) & 1, read(LSR) & 1, read(RX)]).toEqual([0, 1, 7]);
    expect([read(LSR) & 1, read(MSR) & 1, read(LSR) & 1]).toEqual([0, 0, 0]);
    write(TX, 1);
    expect([read(LSR) & 1, read(LSR) & 1, read(RX)]).toEqual([0, 1, 8]);
    expect([read(LSR) & 1, read(LSR) & 1]).toEqual([0, 0]);
    expect(edges).toEqual([]);
  });

  it("gives a long input on as it is read, and the rest below the trigger level as timed out", () => {
    const { read, write, type, edges } = setup();
    write(FCR, 0xc1);
    write(MCR, RTS | OUT2);
    write(IER, 1);
    const bytes = Array.from({ length: 100 }, (_, n) => n);
    type(...bytes);
    expect(edges).toEqual([true]);
    expect(read(IIR)).toBe(0xc4);
    const seen: number[] = [];
    while (seen.length < 87) seen.push(read(RX));
    expect(read(IIR)).toBe(0xcc);
    while (read(LSR) & 1) seen.push(read(RX));
    expect(seen).toEqual(bytes);
    expect(edges).toEqual([true, false]);
  });

  it("tells changes of the modem's lines in loopback, of RI only that it went away", () => {
    const { read, write } = setup();
    expect(read(MSR)).toBe(0xb0);
    write(MCR, LOOP);
    expect(read(MSR)).toBe(0x0b);
    write(MCR, LOOP | OUT1 | DTR);
    expect(read(MSR)).toBe(0x62);
    write(IER, 8);
    expect(read(IIR)).toBe(1);
    write(MCR, LOOP | DTR);
    expect(read(IIR)).toBe(0);
    expect(read(MSR)).toBe(0x24);
    expect(read(IIR)).toBe(1);
    write(MCR, 0);
    expect(read(MSR)).toBe(0xb9);
  });

  it("loses bytes that loop back too fast: the newest in a FIFO, the oldest without", () => {
    for (const [fcr, kept] of [
      [1, 1],
      [0, 17],
    ] as const) {
      const { read, write } = setup();
      write(FCR, fcr);
      write(MCR, LOOP);
      write(IER, 5);
      for (let byte = 1; byte <= 17; byte++) write(TX, byte);
      expect(read(IIR) & 0xf).toBe(6);
      expect(read(LSR)).toBe(0x63);
      expect(read(LSR)).toBe(0x61);
      expect(read(IIR) & 0xf).toBe(4);
      expect(read(RX)).toBe(kept);
    }
  });

  it("answers wide accesses a register at a time", () => {
    const { ports, read, write } = setup();
    ports.write(0x3fe, 2, 0xa500);
    expect(read(SCR)).toBe(0xa5);
    write(LCR, 3);
    expect(ports.read(0x3f8 + LCR, 4)).toBe(0xb0_60_00_03);
  });
});

type Act = { read: number } | { write: readonly [number, number] } | { type: number[] };

describe("vmm pc: serial port against the data sheet", () => {
  /** LCR often without DLAB, and values that mean something more often than not. */
  const act = fc.oneof(
    fc.record({ read: fc.nat(7) }),
    fc.record({ write: fc.tuple(fc.nat(7), fc.nat(255)) }),
    fc.record({
      write: fc.tuple(
        fc.constantFrom(LCR, TX, IER, FCR, MCR),
        fc.constantFrom(0, 1, 3, 0x10, 0x1a, 0x41, 0xc1, 10, 11),
      ),
    }),
    fc.record({ type: fc.array(fc.nat(255), { maxLength: 24 }) }),
  ) as fc.Arbitrary<Act>;

  property(
    "every register, the interrupt and both directions agree",
    [fc.array(act, { maxLength: 120, size: "max" })],
    (acts) => {
      const uart = setup();
      const reference = new UartReference();
      for (const step of acts) {
        if ("read" in step) {
          const expected = reference.read(step.read);
          const value = uart.read(step.read);
          if (expected !== undefined) expect([step.read, value]).toEqual([step.read, expected]);
        } else if ("write" in step) {
          reference.write(...(step.write as [number, number]));
          uart.write(...(step.write as [number, number]));
        } else {
          reference.waiting.push(...step.type);
          reference.settle();
          uart.type(...step.type);
        }
        expect(uart.level).toBe(reference.level);
      }
      expect(uart.sent()).toEqual(reference.sent);
      for (const [n, edge] of uart.edges.entries()) expect(edge).toBe(n % 2 === 0);
    },
  );
});
