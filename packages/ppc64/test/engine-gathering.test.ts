// Stores that may be combined: what is gathered, when it goes out, and that nothing else is touched by it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Assembler, r3, r4, r5, r6, r7, r8 } from "../src/asm/index.ts";
import { ExitReason } from "../src/index.ts";
import {
  Attribute,
  type Bench,
  bench,
  CODE,
  DEVICE,
  DEVICE_BYTES,
  program,
  RIGHTS,
  TOLERANT,
} from "./support/device.ts";
import { EE, EXECUTE, KERNEL_BASE, READ, USER, VIRTUAL, WRITE } from "./support/guest.ts";

function ran(write: (a: Assembler) => void, combinable?: readonly { start: number; end: number }[]): Bench {
  const made = bench(write, combinable);
  expect(made.device.run(made.guest)).toBe(ExitReason.hcall);
  return made;
}

const stores = (a: Assembler, count: number, from = 0): void => {
  for (let n = 0; n < count; n++) a.std(r3, from + 8 * n, r4);
};
const shape = ({ device }: Bench): string[] =>
  device.transactions.map(({ kind, at, bytes }) => `${kind} ${(at - DEVICE).toString(16)} ${bytes.length}`);

describe("ppc64 engine: gathered stores", () => {
  it("make one burst of 64 bytes out of eight stores, and of any widths", () => {
    const b = ran((a) => {
      stores(a, 8);
      for (let n = 0; n < 16; n++) a.stw(r3, 64 + 4 * n, r4);
      for (let n = 0; n < 32; n++) a.sth(r3, 128 + 2 * n, r4);
      for (let n = 0; n < 64; n++) a.stb(r3, 192 + n, r4);
    });
    expect(shape(b)).toEqual(["burst 0 64", "burst 40 64", "burst 80 64", "burst c0 64"]);
    expect([...b.device.memory.subarray(0, 8)]).toEqual([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    expect([...b.device.memory.subarray(64, 72)]).toEqual([0x11, 0x22, 0x33, 0x44, 0x11, 0x22, 0x33, 0x44]);
    expect(b.guest.cpu.counters.bursts).toBe(4);
  });

  it("write 4 KiB with 64 transactions instead of 512, with the same bytes", () => {
    const frame = (base: number) => (a: Assembler) => {
      a.li(r7, 512);
      a.mtctr(r7);
      a.addi(r8, base, -8);
      a.label("more");
      a.stdu(r3, 8, r8);
      a.addi(r3, r3, 0x101);
      a.bdnz("more");
      a.hwsync();
    };
    const [combined, single] = [ran(frame(r4)), ran(frame(r5))];
    expect([combined.device.writes.length, single.device.writes.length]).toEqual([64, 512]);
    expect(combined.device.memory).toEqual(single.device.memory);
    // An update form that fills a line moves its register like any other.
    expect(combined.guest.get(8)).toBe(TOLERANT + 4088n);
    expect(combined.guest.cpu.retired).toBe(single.guest.cpu.retired);
  });

  it("merge: a later store to the same bytes overwrites an earlier one", () => {
    const b = ran((a) => {
      a.std(r3, 0, r4);
      a.li(r7, 0x5a);
      a.stb(r7, 3, r4);
      a.sthbrx(r3, 0, r4);
    });
    expect(shape(b)).toEqual(["burst 0 8"]);
    expect([...b.device.memory.subarray(0, 8)]).toEqual([0x22, 0x11, 0x33, 0x5a, 0x55, 0x66, 0x77, 0x88]);
  });

  it("keep the holes between them", () => {
    const b = ran((a) => {
      a.stb(r3, 1, r4);
      a.sth(r3, 62, r4);
    });
    expect(shape(b)).toEqual(["burst 1 3"]);
    expect([...b.device.memory.subarray(0, 64)]).toEqual([0, 0x11, ...new Array(60).fill(0), 0x11, 0x22]);
  });

  it("go out when the line is full, before the next instruction", () => {
    const { guest, device } = bench((a) => {
      stores(a, 8);
      a.label("here");
      a.b("here");
    });
    expect(guest.cpu.run(100_000)).toBe(ExitReason.burst);
    expect(guest.cpu.pc).toBe(KERNEL_BASE + BigInt(CODE + 32));
    expect([guest.cpu.exit.lo >>> 0, guest.cpu.exit.hi >>> 0]).toEqual([0xffffffff, 0xffffffff]);
    expect(device.run(guest, 1000)).toBe(ExitReason.budget);
    expect(device.transactions).toEqual([]);
  });
});

describe("ppc64 engine: gathered stores go out", () => {
  it.each([
    ["hwsync", (a: Assembler) => a.hwsync()],
    ["lwsync", (a: Assembler) => a.lwsync()],
    ["ptesync", (a: Assembler) => a.ptesync()],
    ["eieio", (a: Assembler) => a.eieio()],
  ])("at %s, which separates stores to one line", (_name, barrier) => {
    const b = ran((a) => {
      a.stw(r3, 0, r4);
      barrier(a);
      a.stw(r3, 4, r4);
      barrier(a);
      barrier(a);
    });
    expect(shape(b)).toEqual(["burst 0 4", "burst 4 4"]);
  });

  it("before a store to another line or another page", () => {
    const b = ran((a) => {
      a.stw(r3, 0, r4);
      a.stw(r3, 64, r4);
      a.stw(r3, 4, r4);
      a.stw(r3, 0x1004, r4);
    });
    expect(shape(b)).toEqual(["burst 0 4", "burst 40 4", "burst 4 4", "burst 1004 4"]);
  });

  it("before a load from the device, which finds what was stored", () => {
    for (const base of [r4, r5]) {
      const b = ran((a) => {
        a.std(r3, 8, r4);
        a.ld(r7, 8, base);
      });
      expect(shape(b)).toEqual(["burst 8 8", "read 8 8"]);
      expect(b.guest.get(7)).toBe(0x8877665544332211n);
    }
  });

  it("not for loads from and stores to RAM", () => {
    const b = ran((a) => {
      a.stw(r3, 0, r4);
      a.ld(r7, 0, r6);
      a.std(r7, 8, r6);
      a.ldarx(r7, 0, r6);
      a.stdcx_(r7, 0, r6);
      a.stw(r3, 4, r4);
      a.hwsync();
    });
    expect(shape(b)).toEqual(["burst 0 8"]);
  });

  it("before a guarded store, whose order they keep", () => {
    const b = ran((a) => {
      a.stw(r3, 0, r4);
      a.stw(r3, 0x100, r5);
      a.stw(r3, 4, r4);
      a.stw(r3, 0x104, r5);
    });
    expect(shape(b)).toEqual(["burst 0 4", "write 100 4", "burst 4 4", "write 104 4"]);
  });

  it("before a hypercall, and the call is made then", () => {
    const { guest } = bench((a) => a.stw(r3, 0, r4));
    expect(guest.cpu.run(1000)).toBe(ExitReason.burst);
    expect(guest.cpu.pc).toBe(KERNEL_BASE + BigInt(CODE + 4));
    expect(guest.cpu.run(1000)).toBe(ExitReason.hcall);
  });

  it("before run() comes back for want of instructions", () => {
    const { guest, device } = bench((a) => {
      a.stw(r3, 0, r4);
      a.label("here");
      a.b("here");
    });
    expect(guest.cpu.run(1000)).toBe(ExitReason.burst);
    expect(device.run(guest, 1000)).toBe(ExitReason.budget);
  });

  it("before an external interrupt, between a store to one line and one to another", () => {
    const { guest, device } = bench((a) => {
      a.stw(r3, 0, r4);
      a.li(r7, 1);
      a.mtmsrd(r8, 0);
      a.stw(r3, 64, r4);
    });
    guest.handler(0x4500);
    guest.set(8, VIRTUAL | EE);
    guest.cpu.setExternalInterrupt(true);
    expect(guest.cpu.run(1000)).toBe(ExitReason.burst);
    expect(guest.cpu.counters.exceptions["0x500"]).toBeUndefined();
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(guest.cpu.pc).toBe(KERNEL_BASE + 0x4504n);
    expect(device.transactions).toEqual([]);
    // The store that the interrupt stands before has not been made.
    expect(guest.cpu.spr(26)).toBe(KERNEL_BASE + BigInt(CODE + 12));
  });

  it("before a decrementer interrupt", () => {
    const { guest, device } = bench((a) => {
      a.stw(r3, 0, r4);
      a.label("here");
      a.b("here");
    });
    guest.handler(0x4900);
    guest.cpu.msr = VIRTUAL | EE;
    guest.cpu.setSpr(22, 100n);
    expect(guest.cpu.run(10_000)).toBe(ExitReason.burst);
    expect(guest.cpu.counters.exceptions["0x900"]).toBeUndefined();
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(guest.cpu.counters.exceptions["0x900"]).toBe(1);
  });

  it.each([
    ["a system call", 0x4c00, (a: Assembler) => a.sc(0)],
    ["a trap", 0x4700, (a: Assembler) => a.trap()],
    ["a load that faults", 0x4300, (a: Assembler) => a.ld(r7, 0, r7)],
    ["a store that faults", 0x4300, (a: Assembler) => a.std(r7, 0, r7)],
    ["a fetch that faults", 0x4400, (a: Assembler) => a.bctr()],
    ["an atomic access to the device", 0x4600, (a: Assembler) => a.ldarx(r7, 0, r4)],
    ["an access across pages of the device", 0x4600, (a: Assembler) => a.ld(r7, 0xffc, r4)],
    ["an atomic access that faults", 0x4300, (a: Assembler) => a.ldarx(r7, 0, r7)],
  ])("before the interrupt of %s", (_name, vector, last) => {
    const { guest, device } = bench((a) => {
      a.stw(r3, 0, r4);
      last(a);
    });
    guest.handler(vector);
    guest.set(7, 0xc0000f0000000000n);
    guest.cpu.setSpr(9, 0xc0000f0000000000n);
    expect(guest.cpu.run(1000)).toBe(ExitReason.burst);
    expect(guest.cpu.counters.exceptions).toEqual({});
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(guest.cpu.pc - 4n).toBe(KERNEL_BASE + BigInt(vector));
  });
});

describe("ppc64 engine: stores that are not gathered", () => {
  const eight = (a: Assembler): void => stores(a, 8);
  const single = Array.from({ length: 8 }, (_, n) => `write ${(8 * n).toString(16)} 8`);

  it("guarded ones, one by one, in order, as wide as they were made", () => {
    const b = ran((a) => {
      a.stw(r3, 4, r5);
      a.stb(r3, 0, r5);
      a.std(r3, 8, r5);
      a.sth(r3, 0, r5);
    });
    expect(shape(b)).toEqual(["write 4 4", "write 0 1", "write 8 8", "write 0 2"]);
  });

  it("anywhere before ranges are given, and outside of them", () => {
    expect(shape(ran(eight, []))).toEqual(single);
    expect(shape(ran(eight, [{ start: DEVICE + 0x1000, end: DEVICE + 0x2000 }]))).toEqual(single);
    // Half a page may be somebody else's.
    expect(shape(ran(eight, [{ start: DEVICE, end: DEVICE + 0x800 }]))).toEqual(single);
  });

  it("after the range has been taken away", () => {
    const { guest, device } = bench((a) => {
      a.stw(r3, 0, r4);
      a.sc(1);
      a.stw(r3, 4, r4);
    });
    expect(device.run(guest)).toBe(ExitReason.hcall);
    guest.cpu.setCombinable([]);
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(device.transactions.map(({ kind }) => kind)).toEqual(["burst", "write"]);
  });

  it("after the page's attribute has changed and its translation was invalidated", () => {
    const { guest, device, kernel } = bench((a) => {
      a.stw(r3, 0, r4);
      a.sc(1);
      a.tlbie(r4, r7, 2, 1, 1);
      a.stw(r3, 4, r4);
    });
    expect(device.run(guest)).toBe(ExitReason.hcall);
    guest.map(kernel, TOLERANT, DEVICE, RIGHTS | Attribute.guarded, 12);
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(device.transactions.map(({ kind }) => kind)).toEqual(["burst", "write"]);
  });

  it("with relocation off", () => {
    const b = bench(eight);
    b.guest.set(4, BigInt(DEVICE));
    b.guest.start(CODE);
    expect(b.device.run(b.guest)).toBe(ExitReason.hcall);
    expect(shape(b)).toEqual(single);
  });

  it("across two lines: what was gathered goes first", () => {
    const b = ran((a) => {
      a.stw(r3, 56, r4);
      a.std(r3, 60, r4);
      a.stw(r3, 0, r4);
    });
    expect(shape(b)).toEqual(["burst 38 4", "write 3c 8", "burst 0 4"]);
  });

  it("in problem state they are gathered where its own translation says so", () => {
    const { guest, device } = bench(() => {});
    const user = guest.process(1);
    guest.map(user, 0x10000n, CODE, READ | WRITE | EXECUTE, 12);
    guest.map(user, 0x20000n, DEVICE, READ | WRITE | Attribute.tolerant, 12);
    guest.handler(0x4c00);
    guest.code(CODE, (a) => {
      stores(a, 2);
      a.sc(0);
    });
    guest.cpu.setSpr(48, 1n);
    guest.set(4, 0x20000n);
    guest.start(0x10000, USER);
    expect(device.run(guest)).toBe(ExitReason.hcall);
    expect(device.transactions.map(({ kind, bytes }) => [kind, bytes.length])).toEqual([["burst", 16]]);
  });
});

describe("ppc64 engine: gathering keeps what the device holds", () => {
  const place = fc.integer({ min: 0, max: 200 });
  const store = fc.record({ act: fc.constant("store"), bytes: fc.constantFrom(1, 2, 4, 8), at: place });
  const guarded = fc.record({ act: fc.constant("guarded"), bytes: fc.constantFrom(1, 2, 4, 8), at: place });
  const load = fc.record({ act: fc.constantFrom("load", "guarded load"), bytes: fc.constant(8), at: place });
  const barrier = fc.record({ act: fc.constantFrom("hwsync", "eieio"), bytes: fc.constant(8), at: place });
  const act = fc.oneof({ weight: 6, arbitrary: store }, guarded, load, barrier);
  const STORES = { 1: "stb", 2: "sth", 4: "stw", 8: "std" } as const;

  it("for any sequence of stores, loads and barriers", () => {
    const b = bench(() => {});
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const expected = new DataView(new ArrayBuffer(DEVICE_BYTES));
        let [sum, value, made] = [0n, 0x0102030405060708n, 0];
        program(b, (a) => {
          a.li(r8, 0);
          for (const { act, bytes, at } of acts) {
            a.addi(r7, act.startsWith("guarded") ? r5 : r4, at);
            if (act === "hwsync" || act === "eieio") a[act]();
            else if (act.endsWith("load")) {
              a.ld(r7, 0, r7);
              a.add(r8, r8, r7);
              sum = BigInt.asUintN(64, sum + expected.getBigUint64(at, true));
            } else {
              value = BigInt.asUintN(64, value * 0x5851f42d4c957f2dn + 1n);
              a.li64(r3, value);
              a[STORES[bytes as 1 | 2 | 4 | 8]](r3, 0, r7);
              for (let n = 0; n < bytes; n++) expected.setUint8(at + n, Number((value >> BigInt(8 * n)) & 0xffn));
              made++;
            }
          }
        });
        expect(b.device.run(b.guest)).toBe(ExitReason.hcall);
        expect(Buffer.compare(b.device.memory, new Uint8Array(expected.buffer))).toBe(0);
        expect(b.guest.get(8)).toBe(sum);
        expect(b.device.writes.length).toBeLessThanOrEqual(made);
      }),
    );
  });
});
