import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Assembler, r3, r4, r5, r6 } from "../src/asm/index.ts";
import { CACHE_BLOCK, ExitReason } from "../src/index.ts";
import { Guest, KERNEL_BASE, READ, VIRTUAL, virtualGuest, WRITE } from "./support/guest.ts";

const CODE = 0x10000;
const DATA = 0x20000;
const DEVICE = 0x200080001000n;

describe("ppc64 engine: accesses across pages", () => {
  it("loads and stores any size at any offset around a page boundary", () => {
    const guest = new Guest();
    const sizes = [
      [2, (a: Assembler) => a.lhz(r3, 0, r4), (a: Assembler) => a.sth(r5, 0, r4)],
      [4, (a: Assembler) => a.lwz(r3, 0, r4), (a: Assembler) => a.stw(r5, 0, r4)],
      [8, (a: Assembler) => a.ld(r3, 0, r4), (a: Assembler) => a.std(r5, 0, r4)],
    ] as const;
    sizes.forEach(([, load, store], n) => {
      guest.code(CODE + 64 * n, (a) => {
        store(a);
        load(a);
        a.sc(1);
      });
    });
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 2),
        fc.integer({ min: -8, max: 0 }),
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        (n, offset, value) => {
          const bytes = sizes[n]![0];
          const at = DATA + 0x1000 + offset;
          new Uint8Array(guest.ram.buffer, guest.ram.byteOffset + at - 8, 32).fill(0xee);
          guest.set(4, BigInt(at));
          guest.set(5, value);
          guest.start(CODE + 64 * n);
          guest.stop();
          expect(guest.get(3)).toBe(BigInt.asUintN(8 * bytes, value));
          expect(guest.ram.getUint8(at - 1)).toBe(0xee);
          expect(guest.ram.getUint8(at + bytes)).toBe(0xee);
        },
      ),
    );
  });

  it("translates both pages, and stores nothing when the second one faults", () => {
    const { guest } = virtualGuest();
    const user = guest.process(3);
    guest.cpu.setSpr(48, 3n);
    guest.map(user, 0x100000n, DATA, READ | WRITE, 12);
    guest.code(CODE, (a) => {
      a.std(r5, 0, r4);
      a.ld(r3, 0, r4);
      a.sc(1);
    });
    guest.handler(0x4300);
    guest.set(4, 0x100ffcn);
    guest.set(5, 0x1122334455667788n);
    guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL);
    expect(guest.stop()).toBe(KERNEL_BASE + 0x4300n);
    expect(guest.cpu.spr(19)).toBe(0x101000n);
    expect(guest.ram.getUint32(DATA + 0xffc)).toBe(0);
    // Somewhere else in memory: the halves are not neighbours.
    guest.map(user, 0x101000n, DATA + 0x5000, READ | WRITE, 12);
    guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL);
    guest.stop();
    expect(guest.get(3)).toBe(0x1122334455667788n);
    expect(guest.ram.getUint32(DATA + 0xffc, true)).toBe(0x55667788);
    expect(guest.ram.getUint32(DATA + 0x5000, true)).toBe(0x11223344);
  });

  it("clears one cache block with dcbz", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.dcbz(0, r4);
      a.sc(1);
    });
    new Uint8Array(guest.ram.buffer, guest.ram.byteOffset + DATA, 4 * CACHE_BLOCK).fill(0x55);
    guest.set(4, BigInt(DATA + CACHE_BLOCK + 77));
    guest.start(CODE);
    guest.stop();
    const bytes = new Uint8Array(guest.ram.buffer, guest.ram.byteOffset + DATA, 4 * CACHE_BLOCK);
    expect(bytes.filter((byte) => byte === 0).length).toBe(CACHE_BLOCK);
    expect(bytes[CACHE_BLOCK]).toBe(0);
    expect(bytes[2 * CACHE_BLOCK]).toBe(0x55);
  });

  it("moves quadwords between memory and register pairs", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.lq(6, 0, r4);
      a.stq(6, 16, r4);
      a.sc(1);
    });
    guest.ram.setBigUint64(DATA, 0x1111n, true);
    guest.ram.setBigUint64(DATA + 8, 0x2222n, true);
    guest.set(4, BigInt(DATA));
    guest.start(CODE);
    guest.stop();
    expect([guest.get(6), guest.get(7)]).toEqual([0x2222n, 0x1111n]);
    expect(guest.ram.getBigUint64(DATA + 16, true)).toBe(0x1111n);
    expect(guest.ram.getBigUint64(DATA + 24, true)).toBe(0x2222n);
  });
});

describe("ppc64 engine: reservations", () => {
  function reserving(between: (a: Assembler) => void): Guest {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.ldarx(r3, 0, r4);
      a.addi(r5, r3, 1);
      between(a);
      a.stdcx_(r5, 0, r4);
      a.mfcr(r6);
      a.sc(1);
    });
    guest.set(4, BigInt(DATA));
    guest.ram.setBigUint64(DATA, 41n, true);
    guest.start(CODE);
    guest.stop();
    return guest;
  }

  it("stores when nothing came between", () => {
    const guest = reserving(() => {});
    expect(guest.get(6) >> 28n).toBe(2n);
    expect(guest.ram.getBigUint64(DATA, true)).toBe(42n);
  });

  it.each([
    ["the memory changed", (a: Assembler) => a.std(r4, 0, r4)],
    ["the reservation was used up", (a: Assembler) => a.stdcx_(r3, 0, r4)],
    [
      "it is for other bytes",
      (a: Assembler) => {
        a.addi(r6, r4, 64);
        a.ldarx(r3, 0, r6);
      },
    ],
    ["it is of another size", (a: Assembler) => a.lwarx(r3, 0, r4)],
  ])("does not store when %s", (_why, between) => {
    const guest = reserving(between);
    expect(guest.get(6) >> 28n).toBe(0n);
    expect(guest.ram.getBigUint64(DATA, true)).not.toBe(42n);
  });
});

describe("ppc64 engine: device memory", () => {
  function device(write: (a: Assembler) => void): Guest {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      write(a);
      a.sc(1);
    });
    guest.set(4, DEVICE);
    guest.set(5, 0x8877665544332211n);
    guest.set(6, 8n);
    guest.start(CODE);
    return guest;
  }

  it("leaves with the request, and finishes the load with the answer", () => {
    const guest = device((a) => a.ldux(r3, r4, r6));
    for (let n = 0; n < 2; n++) {
      expect(guest.cpu.run(1000)).toBe(ExitReason.mmio);
      expect(guest.cpu.exit).toMatchObject({ gpa: Number(DEVICE) + 8, size: 8, write: false });
      // Nothing has happened yet.
      expect([guest.get(4), guest.cpu.pc]).toEqual([DEVICE, BigInt(CODE)]);
    }
    guest.cpu.completeMmio(0x33445566, 0xaabbccdd);
    guest.stop();
    expect(guest.get(3)).toBe(0xaabbccdd33445566n);
    expect(guest.get(4)).toBe(DEVICE + 8n);
  });

  it.each([
    ["lbz", 1, (a: Assembler) => a.lbz(r3, 0, r4), 0xddn],
    ["lha", 2, (a: Assembler) => a.lha(r3, 0, r4), 0xffffffffffffccddn],
    ["lwbrx", 4, (a: Assembler) => a.lwbrx(r3, 0, r4), 0xddccbbaan],
  ] as const)("extends and swaps like any load: %s", (_name, size, load, result) => {
    const guest = device(load);
    expect(guest.cpu.run(1000)).toBe(ExitReason.mmio);
    expect(guest.cpu.exit.size).toBe(size);
    guest.cpu.completeMmio(0xaabbccdd, 0);
    guest.stop();
    expect(guest.get(3)).toBe(result);
  });

  it.each([
    [1, (a: Assembler) => a.stb(r5, 0, r4), 0x11, 0],
    [2, (a: Assembler) => a.sth(r5, 0, r4), 0x2211, 0],
    [4, (a: Assembler) => a.stwbrx(r5, 0, r4), 0x11223344, 0],
    [8, (a: Assembler) => a.std(r5, 0, r4), 0x44332211, 0x88776655],
  ] as const)("hands out a store of %i bytes once", (size, store, lo, hi) => {
    const guest = device(store);
    expect(guest.cpu.run(1000)).toBe(ExitReason.mmio);
    expect(guest.cpu.exit).toMatchObject({ gpa: Number(DEVICE), size, write: true, lo, hi });
    guest.cpu.completeMmio(0, 0);
    expect(guest.stop()).toBe(BigInt(CODE + 4));
  });

  it("refuses an answer that nobody asked for", () => {
    const guest = device((a) => a.nop());
    expect(() => guest.cpu.completeMmio(0, 0)).toThrow(/did not leave for a device access/);
    guest.stop();
    expect(() => guest.cpu.completeMmio(0, 0)).toThrow(/did not leave for a device access/);
  });

  it("finishes the access before a pending interrupt is taken", () => {
    const guest = device((a) => a.lwz(r3, 0, r4));
    guest.handler(0x500);
    guest.cpu.setMsrEE();
    expect(guest.cpu.run(1000)).toBe(ExitReason.mmio);
    guest.cpu.setExternalInterrupt(true);
    guest.cpu.completeMmio(7, 0);
    guest.stop();
    expect(guest.get(3)).toBe(7n);
    expect(guest.cpu.counters.exceptions["0x500"] ?? 0).toBe(0);
  });

  it("raises alignment for atomics and page crossings, and machine check beyond any device", () => {
    for (const [write, vector] of [
      [(a: Assembler) => a.lwarx(r3, 0, r4), 0x600],
      [(a: Assembler) => a.dcbz(0, r4), 0x600],
      [(a: Assembler) => a.ld(r3, -4, r4), 0x600],
    ] as const) {
      const guest = device(write);
      guest.handler(vector);
      expect(guest.stop()).toBe(BigInt(vector));
    }
    const guest = device((a) => a.lwz(r3, 0, r4));
    guest.handler(0x200);
    guest.set(4, 0x0fff000000000000n);
    expect(guest.stop()).toBe(0x200n);
  });
});
