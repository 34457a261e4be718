import * as H from "@minivmm/kvm";
import { describe, expect, it } from "vitest";
import { IRQ_VTY, MEM32_WINDOW, pciLiobn, VTY_UNIT } from "../src/machines/pseries/memory-map.ts";
import { bench, RAM_BYTES } from "./fakes.ts";

const LIOBN = pciLiobn(0);
/** The bench's window: 1 MiB of 4 KiB pages. */
const ENTRIES = 256;

describe("vmm pseries hypercalls: dispatch", () => {
  it("answers an unknown token, and one above 32 bits, with H_FUNCTION", () => {
    const b = bench();
    expect(b.hcall(0x7777)).toBe(H.H_FUNCTION);
    expect(b.out(3)).toBe(0xffffffff_fffffffen);
    expect(b.hcall(0x1_0000_0000 + H.H_CPPR, 0)).toBe(H.H_FUNCTION);
    expect(b.machine.hcalls.counts()).toEqual({ "(unknown)": 2 });
  });
});

describe("vmm pseries hypercalls: console", () => {
  it("prints up to 16 characters, the first in the top byte", () => {
    const b = bench();
    expect(b.hcall(H.H_PUT_TERM_CHAR, VTY_UNIT, 10, [0x48656c6c, 0x6f2c2077], [0x6f0a0000, 0])).toBe(H.H_SUCCESS);
    expect(b.written).toEqual(["Hello, wo\n"]);
  });

  it("gathers characters until a line ends", () => {
    const b = bench();
    b.hcall(H.H_PUT_TERM_CHAR, 0, 1, [0x41000000, 0], 0);
    expect(b.written).toEqual([]);
    b.hcall(H.H_PUT_TERM_CHAR, 0, 1, [0x0a000000, 0], 0);
    expect(b.written).toEqual(["A\n"]);
  });

  it.each([
    ["a length over 16", [VTY_UNIT, 17, 0, 0]],
    ["a unit that does not exist", [0x7100_0001, 1, 0, 0]],
    ["a length of 2^63", [VTY_UNIT, [0x80000000, 0] as const, 0, 0]],
  ])("refuses %s", (_, args) => {
    const b = bench();
    expect(b.hcall(H.H_PUT_TERM_CHAR, ...args)).toBe(H.H_PARAMETER);
    b.machine.hcalls.counts();
    expect(b.written).toEqual([]);
  });

  it("hands over input in pieces and announces it by an interrupt", () => {
    const b = bench();
    b.machine.xics.route(IRQ_VTY, 0, 5);
    b.machine.xics.setCppr(0xff);
    b.type("0123456789abcdefXY");
    expect(b.cpu.line).toBe(true);
    expect(b.hcall(H.H_GET_TERM_CHAR, VTY_UNIT)).toBe(H.H_SUCCESS);
    expect([b.out(4), b.out(5)]).toEqual([16n, 0x3031323334353637n]);
    b.hcall(H.H_GET_TERM_CHAR, VTY_UNIT);
    expect([b.out(4), b.out(5)]).toEqual([2n, 0x5859000000000000n]);
    b.hcall(H.H_GET_TERM_CHAR, VTY_UNIT);
    expect(b.out(4)).toBe(0n);
    expect(b.hcall(H.H_GET_TERM_CHAR, 5)).toBe(H.H_PARAMETER);
  });
});

describe("vmm pseries hypercalls: TCE", () => {
  it("stores and reads back any value, ignoring low bits of the bus address", () => {
    const b = bench();
    expect(b.hcall(H.H_PUT_TCE, LIOBN, 0x1800, [0xdeadbeef, 0x12345003])).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_GET_TCE, LIOBN, 0x1000)).toBe(H.H_SUCCESS);
    expect(b.out(4)).toBe(0xdeadbeef12345003n);
    b.hcall(H.H_GET_TCE, LIOBN, 0x2000);
    expect(b.out(4)).toBe(0n);
  });

  it.each([
    ["an unknown LIOBN", [1, 0, 3]],
    ["a LIOBN with bits above 31", [[1, LIOBN] as const, 0, 3]],
    ["a bus address at the end", [LIOBN, ENTRIES * 4096, 3]],
    ["a bus address far beyond", [LIOBN, [0xffffffff, 0xfffff000] as const, 3]],
  ])("H_PUT_TCE refuses %s", (_, args) => {
    expect(bench().hcall(H.H_PUT_TCE, ...args)).toBe(H.H_PARAMETER);
  });

  it("applies a list of big-endian entries from RAM", () => {
    const b = bench();
    for (let i = 0; i < 512; i++) b.ram.setU64be(0x4000 + i * 8, 0, 0x1000 * i + 3);
    expect(b.hcall(H.H_PUT_TCE_INDIRECT, LIOBN, 0x5000, 0x4000, 3)).toBe(H.H_SUCCESS);
    b.hcall(H.H_GET_TCE, LIOBN, 0x7000);
    expect(b.out(4)).toBe(0x2003n);
    b.hcall(H.H_GET_TCE, LIOBN, 0x8000);
    expect(b.out(4)).toBe(0n);
  });

  it.each([
    ["more than 512 entries", 0x4000, 513],
    ["no entries", 0x4000, 0],
    ["a list that is not page aligned", 0x4008, 1],
    ["a list at the end of RAM", RAM_BYTES, 1],
    ["a list beyond 2^53", 2 ** 53 - 4096, 1],
  ])("H_PUT_TCE_INDIRECT refuses %s", (_, list, count) => {
    expect(bench().hcall(H.H_PUT_TCE_INDIRECT, LIOBN, 0, list, count)).toBe(H.H_PARAMETER);
  });

  it("keeps the entries before the one that runs past the window", () => {
    const b = bench();
    b.ram.setU64be(0x4000, 0, 3);
    expect(b.hcall(H.H_PUT_TCE_INDIRECT, LIOBN, (ENTRIES - 1) * 4096, 0x4000, 2)).toBe(H.H_PARAMETER);
    b.hcall(H.H_GET_TCE, LIOBN, (ENTRIES - 1) * 4096);
    expect(b.out(4)).toBe(3n);
  });

  it("stuffs a value, accepting permission bits and the whole table, but not more or nothing", () => {
    const b = bench();
    expect(b.hcall(H.H_STUFF_TCE, LIOBN, 0, 1, ENTRIES)).toBe(H.H_SUCCESS);
    b.hcall(H.H_GET_TCE, LIOBN, (ENTRIES - 1) * 4096);
    expect(b.out(4)).toBe(1n);
    expect(b.hcall(H.H_STUFF_TCE, LIOBN, 0, 0, ENTRIES + 1)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_STUFF_TCE, LIOBN, 0, 0, 0)).toBe(H.H_PARAMETER);
  });

  it("counts calls by name", () => {
    const b = bench();
    b.hcall(H.H_PUT_TCE, LIOBN, 0, 3);
    b.hcall(H.H_PUT_TCE, 0, 0, 3);
    b.hcall(H.H_STUFF_TCE, LIOBN, 0, 0, 1);
    expect(b.machine.hcalls.counts()).toEqual({ H_PUT_TCE: 2, H_STUFF_TCE: 1 });
  });
});

describe("vmm pseries hypercalls: CPU", () => {
  it.each<[string, number[], number]>([
    ["alternate interrupt location 3", [3, 3, 0, 0], H.H_SUCCESS],
    ["no alternate interrupt location", [0, 3, 0, 0], H.H_SUCCESS],
    ["alternate interrupt location 2", [2, 3, 0, 0], H.H_UNSUPPORTED_FLAG_START],
    ["little endian", [1, 4, 0, 0], H.H_SUCCESS],
    ["big endian", [0, 4, 0, 0], H.H_UNSUPPORTED_FLAG_START],
    ["an unknown resource", [0, 9, 0, 0], H.H_P2],
    ["a first value", [3, 3, 1, 0], H.H_P3],
    ["a second value", [3, 3, 0, 1], H.H_P4],
  ])("H_SET_MODE with %s", (_, args, code) => {
    expect(bench().hcall(H.H_SET_MODE, ...args)).toBe(code);
  });

  it("tells the CPU where interrupts go", () => {
    const b = bench();
    b.hcall(H.H_SET_MODE, 3, 3, 0, 0);
    expect(b.cpu.ail).toBe(true);
  });

  it("registers a radix process table inside RAM only", () => {
    const b = bench();
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x1d, 0x1_0000, 0, 4)).toBe(H.H_SUCCESS);
    expect(b.cpu.processTable).toEqual([0x1_0000, 16]);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x1d, RAM_BYTES - 0x1000, 0, 4)).toBe(H.H_P2);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x1d, 0x800, 0, 4)).toBe(H.H_P2);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x1d, 0, 1, 4)).toBe(H.H_P3);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x1d, 0, 0, 25)).toBe(H.H_P4);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x19, 0, 0, 4)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x3d, 0, 0, 4)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_REGISTER_PROC_TBL, 0x10, 0, 0, 0)).toBe(H.H_SUCCESS);
  });

  it("checks a virtual processor area", () => {
    const b = bench();
    const register = (kind: number, cpu: number, area: number): number =>
      b.hcall(H.H_REGISTER_VPA, [kind << 13, 0], cpu, area);
    b.ram.setU16be(0x2004, 640);
    b.ram.setU16be(0x2e04, 640);
    b.ram.setU32be(0x3004, 4096);
    expect(register(2, 0, 0x3000)).toBe(H.H_HARDWARE);
    expect(register(1, 0, 0x2000)).toBe(H.H_SUCCESS);
    expect(register(2, 0, 0x3000)).toBe(H.H_SUCCESS);
    expect(register(1, 1, 0x2000)).toBe(H.H_PARAMETER);
    expect(register(1, 0, 0x2010)).toBe(H.H_PARAMETER);
    expect(register(1, 0, 0x2e00)).toBe(H.H_PARAMETER);
    expect(register(1, 0, 0x8000)).toBe(H.H_PARAMETER);
    expect(register(1, 0, RAM_BYTES)).toBe(H.H_PARAMETER);
    expect(register(1, 0, 0)).toBe(H.H_HARDWARE);
    expect(register(4, 0, 0x2000)).toBe(H.H_PARAMETER);
    expect(register(5, 0, 0)).toBe(H.H_SUCCESS);
  });

  it("cedes, and answers characteristics with none", () => {
    const b = bench();
    expect(b.hcall(H.H_CEDE)).toBe(H.H_SUCCESS);
    expect(b.cpu.cedes).toBe(1);
    expect(b.hcall(H.H_GET_CPU_CHARACTERISTICS)).toBe(H.H_SUCCESS);
    expect([b.out(4), b.out(5)]).toEqual([0n, 0n]);
    expect(b.hcall(H.H_PROD, 0)).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_PROD, 1)).toBe(H.H_PARAMETER);
  });
});

describe("vmm pseries hypercalls: logical CI", () => {
  it("loads and stores RAM in big-endian order", () => {
    const b = bench();
    expect(b.hcall(H.H_LOGICAL_CI_STORE, 4, 0x2000, 0x11223344)).toBe(H.H_SUCCESS);
    expect(b.ram.u32be(0x2000)).toBe(0x11223344);
    expect(b.hcall(H.H_LOGICAL_CI_LOAD, 2, 0x2001)).toBe(H.H_SUCCESS);
    expect(b.out(4)).toBe(0x2233n);
    b.hcall(H.H_LOGICAL_CACHE_STORE, 8, 0x2008, [0x01020304, 0x05060708]);
    b.hcall(H.H_LOGICAL_CACHE_LOAD, 8, 0x2008);
    expect(b.out(4)).toBe(0x0102030405060708n);
  });

  it("gives a device's little-endian register byte-swapped", () => {
    const b = bench();
    b.machine.phb.writeConfig(0x810, 4, 0x8000_0000);
    b.machine.phb.writeConfig(0x804, 2, 2);
    b.device.registers.set([1, 2, 3, 4, 5, 6, 7, 8], 0x10);
    const at = MEM32_WINDOW.cpu + 0x10;
    b.hcall(H.H_LOGICAL_CI_LOAD, 4, at);
    expect(b.out(4)).toBe(0x01020304n);
    b.hcall(H.H_LOGICAL_CI_LOAD, 8, at);
    expect(b.out(4)).toBe(0x0102030405060708n);
    b.hcall(H.H_LOGICAL_CI_STORE, 8, at, [0x0a0b0c0d, 0x0e0f1011]);
    expect([...b.device.registers.subarray(0x10, 0x18)]).toEqual([0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11]);
    b.hcall(H.H_LOGICAL_CI_STORE, 2, at, 0x1234);
    expect([...b.device.registers.subarray(0x10, 0x13)]).toEqual([0x12, 0x34, 0x0c]);
  });

  it("refuses a size of 3 and an address where nothing is", () => {
    const b = bench();
    expect(b.hcall(H.H_LOGICAL_CI_LOAD, 3, 0x2000)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_LOGICAL_CI_LOAD, 4, 0x1000_0000_0000)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_LOGICAL_CI_STORE, 4, RAM_BYTES - 2, 0)).toBe(H.H_PARAMETER);
  });
});
