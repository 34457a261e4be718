// Memory that is not the CPU's own, reached through page frames; RAM shared with others; single device accesses.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Assembler, r3, r4, r5, r6 } from "../src/asm/index.ts";
import { allocateGuestRam, Cpu, ExitReason, guestRamOf, type PageSource } from "../src/index.ts";
import { REAL } from "./support/guest.ts";

const ELSEWHERE = 0x40_0000;
const BYTES = 256 * 4096;

class Source implements PageSource {
  readonly bytes = new Uint8Array(BYTES);
  reads = 0;
  writes = 0;
  readPage(real: number, into: Uint8Array): boolean {
    const at = real - ELSEWHERE;
    if (at < 0 || at >= BYTES) return false;
    this.reads++;
    into.set(this.bytes.subarray(at, at + 4096));
    return true;
  }
  writePage(real: number, from: Uint8Array): void {
    this.writes++;
    this.bytes.set(from, real - ELSEWHERE);
  }
  offsetOf(): number {
    return 0;
  }
}

/** A CPU without RAM of its own: everything is elsewhere. */
function made(framePages = 64): { cpu: Cpu; source: Source } {
  const source = new Source();
  const ram = allocateGuestRam({ ramBytes: 0, framePages, decodePages: 16 });
  return { cpu: Cpu.create({ ram, pages: source }), source };
}

function load(source: Source, at: number, write: (a: Assembler) => void): void {
  const a = new Assembler({ origin: ELSEWHERE + at });
  write(a);
  source.bytes.set(a.bytes(), at);
}

describe("ppc64 engine: memory elsewhere", () => {
  it("runs code, loads, stores and atomics there, and writes back on request", () => {
    const { cpu, source } = made();
    load(source, 0, (a) => {
      a.li64(r4, ELSEWHERE + 0x3ffc);
      a.li64(r5, 0x1122334455667788n);
      a.std(r5, 0, r4); // crosses a page
      a.addi(r6, r4, 0x1004);
      a.label("again");
      a.ldarx(r3, 0, r6);
      a.addi(r3, r3, 1);
      a.stdcx_(r3, 0, r6);
      a.bne("again");
      a.lwz(r3, 4, r4);
      a.sc(1);
    });
    cpu.pc = BigInt(ELSEWHERE);
    cpu.msr = REAL;
    expect(cpu.run(100)).toBe(ExitReason.hcall);
    expect(cpu.gpr64[3]).toBe(0x11223344n);
    expect(source.writes).toBe(0);
    cpu.syncPages();
    expect(source.writes).toBe(3);
    const view = new DataView(source.bytes.buffer);
    expect(view.getBigUint64(0x3ffc, true)).toBe(0x1122334455667788n);
    expect(view.getUint32(0x5000, true)).toBe(1);
    cpu.syncPages();
    expect(source.writes).toBe(3);
  });

  it("sees what was written outside after a sync, code too", () => {
    const { cpu, source } = made();
    for (const value of [5, 6]) {
      load(source, 0, (a) => {
        a.li(r3, value);
        a.sc(1);
      });
      cpu.pc = BigInt(ELSEWHERE);
      cpu.msr = REAL;
      cpu.syncPages();
      expect(cpu.run(100)).toBe(ExitReason.hcall);
      expect(cpu.gpr64[3]).toBe(BigInt(value));
    }
  });

  it("leaves for a device where no memory is, and below the RAM limit sees RAM only", () => {
    const ram = allocateGuestRam({ ramBytes: 1 << 20, framePages: 16, decodePages: 16 });
    const source = new Source();
    const cpu = Cpu.create({ ram, pages: source });
    expect(guestRamOf(ram.memory.buffer)).toBe(ram);
    expect(() => Cpu.create({ ram })).toThrow(expect.objectContaining({ code: "CPU_RAM_TAKEN" }));
    const a = new Assembler({ origin: 0x1000 });
    a.ld(r3, 0, r4);
    a.ld(r3, 8, r4);
    a.sc(1);
    new Uint8Array(ram.memory.buffer, ram.ramOffset).set(a.bytes(), 0x1000);
    cpu.pc = 0x1000n;
    cpu.msr = REAL;
    cpu.gpr64[4] = 0x8_0000n;
    cpu.setRamLimit(0x8_0000);
    expect(cpu.run(10)).toBe(ExitReason.mmio);
    expect(cpu.exit).toMatchObject({ gpa: 0x8_0000, size: 8, write: false });
    cpu.completeMmio(7, 8);
    cpu.finishMmio();
    expect([cpu.pc, cpu.gpr64[3], cpu.retired]).toEqual([0x1004n, 0x8_0000_0007n, 1]);
    cpu.finishMmio();
    expect(cpu.pc).toBe(0x1004n);
    cpu.setRamLimit(1 << 20);
    expect(cpu.run(10)).toBe(ExitReason.hcall);
    expect(cpu.gpr64[3]).toBe(0n);
    cpu.release();
    Cpu.create({ ram }).release();
  });

  it("behaves as memory does with any number of frames", () => {
    const access = fc.record({ at: fc.nat(250 * 4096), write: fc.boolean(), value: fc.bigInt(0n, 2n ** 64n - 1n) });
    fc.assert(
      fc.property(fc.integer({ min: 13, max: 40 }), fc.array(access, { maxLength: 60 }), (framePages, accesses) => {
        const { cpu, source } = made(framePages);
        load(source, 252 * 4096, (a) => {
          a.std(r5, 0, r4);
          a.sc(1);
          a.ld(r5, 0, r4);
          a.sc(1);
        });
        const expected = source.bytes.slice();
        const view = new DataView(expected.buffer);
        for (const { at, write, value } of accesses) {
          cpu.pc = BigInt(ELSEWHERE + 252 * 4096 + (write ? 0 : 8));
          cpu.msr = REAL;
          cpu.gpr64[4] = BigInt(ELSEWHERE + at);
          cpu.gpr64[5] = value;
          expect(cpu.run(100)).toBe(ExitReason.hcall);
          if (write) view.setBigUint64(at, value, true);
          else expect(cpu.gpr64[5]).toBe(view.getBigUint64(at, true));
        }
        cpu.syncPages();
        expect(Buffer.compare(source.bytes, expected)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });
});

describe("ppc64 engine: an external interrupt that comes once", () => {
  it("falls when it is taken, while a level stays", () => {
    const ram = allocateGuestRam({ ramBytes: 1 << 20, decodePages: 16 });
    const cpu = Cpu.create({ ram });
    const a = new Assembler({ origin: 0x500 });
    a.sc(1);
    new Uint8Array(ram.memory.buffer, ram.ramOffset).set(a.bytes(), 0x500);
    for (const once of [true, false]) {
      cpu.pc = 0x1000n;
      cpu.msr = REAL | 0x8000n;
      cpu.setExternalInterrupt(true, once);
      expect(cpu.run(10)).toBe(ExitReason.hcall);
      expect(cpu.externalInterrupt).toBe(!once);
    }
  });
});
