// Arbitrary acts of a guest against its machine: hypercalls, RTAS frames, device registers, configuration space.
// Purely random values would be refused at the first check, so most acts are nearly right: the call's own shape with
// each argument either plausible or hostile.

import * as H from "@minivmm/kvm";
import fc from "fast-check";
import { expect } from "vitest";
import {
  IO_WINDOW,
  MEM32_WINDOW,
  MEM64_WINDOW,
  PHB_BUID_HI,
  PHB_BUID_LO,
  pciLiobn,
  VTY_UNIT,
} from "../src/machines/pseries/memory-map.ts";
import * as T from "../src/machines/pseries/rtas/tokens.ts";
import { type Bench, RAM_BYTES } from "./fakes.ts";

export type Act = (b: Bench) => void;
type Halves = readonly [number, number];

const word = fc.nat(0xffffffff);
const low = (values: fc.Arbitrary<number>): fc.Arbitrary<Halves> => values.map((n) => [0, n] as const);

/** 64-bit values that are near something: small numbers, RAM's edges, sign bits, 2^53, all ones. */
const hostile: fc.Arbitrary<Halves> = fc.oneof(
  low(fc.nat(0x300)),
  low(fc.nat(RAM_BYTES + 64)),
  fc.tuple(fc.constantFrom(0, 0x1f_ffff, 0x20_0000, 0x80000000, 0xffffffff), word),
  fc.tuple(word, word),
);
const mostly = (good: fc.Arbitrary<Halves>): fc.Arbitrary<Halves> =>
  fc.oneof({ arbitrary: good, weight: 5 }, { arbitrary: hostile, weight: 1 });

const liobn = mostly(low(fc.constantFrom(pciLiobn(0), pciLiobn(0), pciLiobn(1))));
const busAddress = mostly(low(fc.nat(260).map((n) => n * 4096)));
/** Where RAM ends matters most. */
const ramPage = mostly(
  low(
    fc.oneof(
      fc.nat(RAM_BYTES / 4096).map((n) => n * 4096),
      fc.constantFrom(RAM_BYTES - 4096, RAM_BYTES - 512, RAM_BYTES - 64, RAM_BYTES, RAM_BYTES + 4096),
    ),
  ),
);
const count = mostly(low(fc.nat(600)));
const tce = mostly(low(fc.nat(RAM_BYTES / 4096 + 2).chain((n) => fc.nat(3).map((bits) => n * 4096 + bits))));
const small = mostly(low(fc.nat(9)));
const unit = mostly(low(fc.constantFrom(VTY_UNIT, 0)));
const mmio = fc
  .constantFrom(IO_WINDOW, MEM32_WINDOW, MEM64_WINDOW)
  .chain((window) => fc.nat(0x4010).map((at) => window.cpu + at - 16));
const anywhere = mostly(
  fc.oneof(
    low(fc.nat(RAM_BYTES + 8)),
    mmio.map((at) => [Math.floor(at / 2 ** 32), at % 2 ** 32] as const),
  ),
);
const vpaFunction = mostly(fc.nat(7).map((n) => [n << 13, 0] as const));

const HCALLS: readonly (readonly [token: number, args: readonly fc.Arbitrary<Halves>[]])[] = [
  [H.H_PUT_TCE, [liobn, busAddress, tce]],
  [H.H_PUT_TCE_INDIRECT, [liobn, busAddress, ramPage, count]],
  [H.H_STUFF_TCE, [liobn, busAddress, tce, count]],
  [H.H_GET_TCE, [liobn, busAddress]],
  [H.H_PUT_TERM_CHAR, [unit, small, hostile, hostile]],
  [H.H_GET_TERM_CHAR, [unit]],
  [H.H_LOGICAL_CI_LOAD, [small, anywhere]],
  [H.H_LOGICAL_CI_STORE, [small, anywhere, hostile]],
  [H.H_XIRR, []],
  [H.H_EOI, [mostly(low(fc.constantFrom(0xff001300, 0xff001201, 0x05001100)))]],
  [H.H_CPPR, [mostly(low(fc.nat(255)))]],
  [H.H_IPI, [small, small]],
  [H.H_IPOLL, [small]],
  [H.H_REGISTER_VPA, [vpaFunction, small, ramPage]],
  [H.H_REGISTER_PROC_TBL, [mostly(low(fc.nat(0x1f))), ramPage, small, small]],
  [H.H_SET_MODE, [small, small, small, small]],
  [H.H_CEDE, []],
];

const hypercall: fc.Arbitrary<Act> = fc
  .oneof(
    {
      arbitrary: fc.constantFrom(...HCALLS).chain(([token, args]) => fc.tuple(fc.constant(token), fc.tuple(...args))),
      weight: 5,
    },
    fc.tuple(fc.nat(0x400), fc.array(hostile, { maxLength: 6 })),
  )
  .map(([token, args]) => (b: Bench) => {
    const code = b.hcall(token, ...args);
    expect(Number.isInteger(code) && code >= -256 && code <= 0).toBe(true);
  });

/** Configuration addresses: slots 1 and 2, any register, sometimes another function or bus. */
const configAddress = fc.oneof(
  fc
    .tuple(fc.constantFrom(0x800, 0x1000), fc.nat(0xff), fc.nat(15))
    .map(([slot, reg, high]) => slot | reg | (high << 28)),
  word,
);
const pe = [fc.constantFrom(0x800, 0x1000, 0x1800), fc.constant(PHB_BUID_HI), fc.constant(PHB_BUID_LO)];
const registerAt = [configAddress, fc.constant(PHB_BUID_HI), fc.constant(PHB_BUID_LO)];
const irq = fc.oneof(fc.constantFrom(0x1000, 0x1100, 0x1200, 0x1201, 0x1300, 0x1301, 0xfff, 0x1800), word);
const anyWord = fc.oneof(fc.nat(16), fc.nat(RAM_BYTES + 64), word);
const pageShift = fc.oneof(fc.constantFrom(12, 16, 21, 24), fc.nat(64));

const RTAS: readonly (readonly [token: number, nret: number, args: readonly fc.Arbitrary<number>[]])[] = [
  [T.RTAS_IBM_READ_PCI_CONFIG, 2, [...registerAt, fc.constantFrom(1, 2, 4, 3, 8, 0)]],
  [T.RTAS_IBM_WRITE_PCI_CONFIG, 1, [...registerAt, fc.constantFrom(1, 2, 4, 3), anyWord]],
  [T.RTAS_IBM_CHANGE_MSI, 4, [...pe, fc.nat(5), fc.oneof(fc.nat(20), word), anyWord]],
  [T.RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER, 3, [...pe, fc.oneof(fc.nat(10), word)]],
  [T.RTAS_IBM_SET_XIVE, 1, [irq, fc.nat(1), fc.nat(260)]],
  [T.RTAS_IBM_GET_XIVE, 3, [irq]],
  [T.RTAS_IBM_INT_ON, 1, [irq]],
  [T.RTAS_IBM_INT_OFF, 1, [irq]],
  [T.RTAS_IBM_QUERY_PE_DMA_WINDOW, 5, pe],
  [T.RTAS_IBM_CREATE_PE_DMA_WINDOW, 4, [...pe, pageShift, fc.oneof(fc.integer({ min: 12, max: 34 }), word)]],
  [T.RTAS_IBM_REMOVE_PE_DMA_WINDOW, 1, [fc.oneof(fc.constantFrom(pciLiobn(0), pciLiobn(1)), word)]],
  [T.RTAS_IBM_RESET_PE_DMA_WINDOW, 1, pe],
  [T.RTAS_IBM_GET_SYSTEM_PARAMETER, 1, [fc.constantFrom(20, 44), anyWord, anyWord]],
  [T.RTAS_GET_TIME_OF_DAY, 8, []],
];

const rtas: fc.Arbitrary<Act> = fc
  .oneof(
    fc
      .constantFrom(...RTAS)
      .chain(([token, nret, args]) => fc.tuple(fc.constant(token), fc.tuple(...args), fc.constant(nret))),
    fc.tuple(anyWord, fc.array(anyWord, { maxLength: 8 }), fc.nat(8)),
  )
  .map(([token, args, nret]) => (b: Bench) => {
    const [status = 0] = b.rtas(token, args, nret);
    expect([0, -1, -3]).toContain(status);
  });

/** A frame wherever the guest says, full of whatever is in RAM there. */
const wildFrame: fc.Arbitrary<Act> = fc
  .oneof(fc.nat(RAM_BYTES + 64), fc.integer(), fc.maxSafeNat())
  .map((frame) => (b: Bench) => {
    expect([0, -1, -3]).toContain(b.machine.rtas.dispatch(frame));
  });

/** Decodes both functions' BARs where the MMIO acts look for them. */
const mapBars: Act = (b) => {
  for (const slot of [0x800, 0x1000]) {
    const base = slot === 0x800 ? 0 : 0x2000;
    [0x8000_0000 + base, base, 0x2100, 0x100].forEach((value, i) => {
      b.machine.phb.writeConfig(slot | (0x10 + i * 4), 4, value);
    });
    b.machine.phb.writeConfig(slot | 4, 2, 7);
  }
};

const access: fc.Arbitrary<Act> = fc
  .tuple(fc.boolean(), fc.oneof({ arbitrary: mmio, weight: 5 }, fc.maxSafeNat()), fc.constantFrom(1, 2, 4, 8), hostile)
  .map(([write, at, size, [hi, lo]]) => (b: Bench) => {
    const out = new Uint32Array(2);
    if (write) b.machine.mmioWrite(at, size as 1 | 2 | 4 | 8, lo, hi);
    else b.machine.mmioRead(at, size as 1 | 2 | 4 | 8, out);
  });

const deviceActs: Act = (b) => {
  b.device.pin(true);
  b.device.interrupt(0);
  b.device.dma.write(0, 0x1000, new Uint8Array(8192).fill(1));
  b.device.pin(false);
};

/** One act; functions are in slots 1 and 2. */
export const act: fc.Arbitrary<Act> = fc.oneof(
  { arbitrary: hypercall, weight: 5 },
  { arbitrary: rtas, weight: 5 },
  { arbitrary: access, weight: 3 },
  wildFrame,
  fc.constantFrom(mapBars, deviceActs),
);
