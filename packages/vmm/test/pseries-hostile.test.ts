// The guest is an adversary: whatever it passes to hypercalls, RTAS, device registers and configuration space, the
// machine answers with a code and touches nothing but the guest's RAM.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  IO_WINDOW,
  MEM32_WINDOW,
  MEM64_WINDOW,
  PHB_BUID_HI,
  PHB_BUID_LO,
  VTY_UNIT,
} from "../src/machines/pseries/memory-map.ts";
import { bench, RAM_BYTES } from "./fakes.ts";

const TOKENS = [
  0x1c, 0x20, 0x28, 0x3c, 0x40, 0x44, 0x48, 0x54, 0x58, 0x64, 0x68, 0x6c, 0x70, 0x74, 0xdc, 0xe0, 0xe4, 0xe8,
];
TOKENS.push(0x138, 0x13c, 0x1c8, 0x31c, 0x37c);

/** 64-bit values that are near something: small numbers, RAM's edges, windows, sign bits, all ones. */
const halves: fc.Arbitrary<readonly [number, number]> = fc.oneof(
  fc.tuple(fc.constant(0), fc.nat(0x300)),
  fc.tuple(fc.constant(0), fc.nat(RAM_BYTES + 64)),
  fc.tuple(fc.constant(0), fc.constantFrom(0x80000000, 0x80000001, VTY_UNIT, 0xfffff000, 0xffffffff)),
  fc.tuple(fc.constantFrom(0, 0x2000, 0x2100, 0x1f_ffff, 0x20_0000, 0x80000000, 0xffffffff), fc.nat(0xffffffff)),
  fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)),
);
const page = fc.nat(RAM_BYTES / 4096 + 1).map((n) => [0, n * 4096] as const);
const argument = fc.oneof(halves, page);
const word = fc.oneof(
  fc.nat(16),
  fc.nat(RAM_BYTES + 64),
  fc.constantFrom(
    0x800,
    0x810,
    PHB_BUID_HI,
    PHB_BUID_LO,
    0x1100,
    0x1201,
    0x1300,
    0x80000000,
    0xffffffff,
    12,
    16,
    24,
    21,
  ),
  fc.nat(0xffffffff),
);
const address = fc.oneof(
  fc.constantFrom(IO_WINDOW, MEM32_WINDOW, MEM64_WINDOW).chain((w) => fc.nat(0x4000).map((at) => w.cpu + at - 16)),
  fc.maxSafeNat(),
);
const width = fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const);

type Action = (b: ReturnType<typeof bench>) => void;
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.tuple(fc.oneof(fc.constantFrom(...TOKENS), fc.nat(0x400)), fc.array(argument, { maxLength: 6 })).map(
    ([token, args]): Action =>
      (b) => {
        const code = b.hcall(token, ...args);
        expect(Number.isInteger(code) && code >= -256 && code <= 0).toBe(true);
      },
  ),
  fc.tuple(fc.oneof(fc.integer({ min: 0x2000, max: 0x2030 }), word), fc.array(word, { maxLength: 8 }), fc.nat(8)).map(
    ([token, args, nret]): Action =>
      (b) => {
        const [status = 0] = b.rtas(token, args, nret);
        expect([0, -1, -3]).toContain(status);
      },
  ),
  // A well-formed prefix reaches deeper: the right bridge, random register, size and value.
  fc
    .tuple(
      fc.constantFrom(0x2016, 0x2017, 0x2018, 0x2019, 0x2026, 0x2027, 0x2029),
      fc.nat(0x1ff),
      fc.array(word, { maxLength: 4 }),
    )
    .map(
      ([token, register, rest]): Action =>
        (b) => {
          b.rtas(token, [0x800 | register, PHB_BUID_HI, PHB_BUID_LO, ...rest], 4);
        },
    ),
  fc
    .oneof(
      argument.map(([hi, lo]) => hi * 2 ** 32 + lo),
      fc.integer(),
    )
    .map(
      (frame): Action =>
        (b) => {
          expect([0, -1, -3]).toContain(b.machine.rtas.dispatch(frame));
        },
    ),
  fc.tuple(fc.boolean(), address, width, halves).map(
    ([write, at, size, [hi, lo]]): Action =>
      (b) => {
        const out = new Uint32Array(2);
        if (write) b.machine.mmioWrite(at, size, lo, hi);
        else b.machine.mmioRead(at, size, out);
      },
  ),
  fc.tuple(fc.nat(0xff), fc.constantFrom(1, 2, 4), fc.nat(0xffffffff)).map(
    ([at, size, value]): Action =>
      (b) => {
        b.machine.phb.writeConfig(0x800 | (at & ~(size - 1)), size, value);
      },
  ),
  fc.constant<Action>((b) => {
    b.device.pin(true);
    b.device.interrupt(0);
    b.device.dma.write(0, 0x1000, new Uint8Array(8192).fill(1));
    b.device.pin(false);
  }),
);

describe("vmm pseries: a hostile guest", () => {
  it("never makes the machine throw, return an undefined code, or write outside guest RAM", () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 40 }), (actions) => {
        const b = bench({ dmaWindowBytes: 0x10_0000 });
        for (const act of actions) act(b);
        expect(b.guardIntact()).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});
