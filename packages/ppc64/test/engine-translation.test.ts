import { describe, expect, it } from "vitest";
import { r3, r4, r5 } from "../src/asm/index.ts";
import {
  EE,
  EXECUTE,
  type Guest,
  KERNEL_BASE,
  PRIVILEGED,
  Pte,
  READ,
  USER,
  VIRTUAL,
  virtualGuest,
  WRITE,
} from "./support/guest.ts";

const CODE = 0x10000;
const DATA = 0x20000;
const PAGE = 0x100000n;
const SPR = { dsisr: 18, dar: 19, srr0: 26, srr1: 27, amr: 29, pidr: 48, iamr: 61 } as const;
const NO_PTE = 0x40000000n;
const PROTECTION = 0x08000000n;
const STORE = 0x02000000n;
const BAD_RADIX = 0x00080000n;
const NO_EXECUTE = 0x10000000n;

interface World {
  guest: Guest;
  /** Root of the tree of pid 5, which is the current one. */
  user: number;
}

/** Kernel code at CODE: load r3 from r4; store r5 at r4 is at CODE + 0x100. Handlers at every storage vector. */
function world(): World {
  const { guest } = virtualGuest();
  const user = guest.process(5);
  guest.cpu.setSpr(SPR.pidr, 5n);
  guest.code(CODE, (a) => {
    a.ld(r3, 0, r4);
    a.sc(1);
  });
  guest.code(CODE + 0x100, (a) => {
    a.std(r5, 0, r4);
    a.sc(1);
  });
  for (const vector of [0x300, 0x380, 0x400, 0x480, 0x600, 0x700]) guest.handler(0x4000 + vector);
  return { guest, user };
}

type Fault = { vector: bigint; dsisr: bigint; dar: bigint };

/** The fault that a kernel access to `ea` takes; null when it goes through. */
function attempt(guest: Guest, kind: "load" | "store", ea: bigint): Fault | null {
  guest.set(4, ea);
  guest.start(KERNEL_BASE + BigInt(kind === "load" ? CODE : CODE + 0x100), VIRTUAL);
  const at = guest.stop() - KERNEL_BASE;
  if (at < 0x5000n) {
    const instruction = KERNEL_BASE + BigInt(kind === "load" ? CODE : CODE + 0x100);
    expect(guest.cpu.spr(SPR.srr0)).toBe(instruction);
    return { vector: at - 0x4000n, dsisr: guest.cpu.spr(SPR.dsisr), dar: guest.cpu.spr(SPR.dar) };
  }
  return null;
}

describe("ppc64 engine: radix translation", () => {
  it.each([
    [12, 0x123000n],
    [16, 0x450000n],
    [21, 0x0a00000n],
    [30, 0x40000000n],
  ])("maps a page of 2^%i bytes", (bits, ea) => {
    const { guest, user } = world();
    const real = bits === 12 ? DATA + 0x3000 : bits === 16 ? DATA : 0;
    guest.map(user, ea, real, READ | WRITE, bits);
    const offset = bits === 12 ? 0x128 : DATA - real + 0x3128;
    guest.ram.setBigUint64(DATA + 0x3128, 0x1122334455667788n, true);
    expect(attempt(guest, "load", ea + BigInt(offset))).toBeNull();
    expect(guest.get(3)).toBe(0x1122334455667788n);
  });

  it("sets reference on a load and change on a store", () => {
    const { guest, user } = world();
    const entry = guest.map(user, PAGE, DATA, READ | WRITE);
    expect(guest.entry(entry) & (Pte.ref | Pte.change)).toBe(0n);
    attempt(guest, "load", PAGE);
    expect(guest.entry(entry) & (Pte.ref | Pte.change)).toBe(Pte.ref);
    attempt(guest, "store", PAGE);
    expect(guest.entry(entry) & (Pte.ref | Pte.change)).toBe(Pte.ref | Pte.change);
  });

  it("raises data storage for a missing page, with the store bit for stores", () => {
    const { guest } = world();
    const ea = PAGE + 0x18n;
    expect(attempt(guest, "load", ea)).toEqual({ vector: 0x300n, dsisr: NO_PTE, dar: ea });
    expect(attempt(guest, "store", ea)).toEqual({ vector: 0x300n, dsisr: NO_PTE | STORE, dar: ea });
  });

  it("raises data storage when rights are missing", () => {
    const { guest, user } = world();
    guest.map(user, PAGE, DATA, READ);
    guest.map(user, PAGE + 0x10000n, DATA, EXECUTE);
    guest.map(user, PAGE + 0x20000n, DATA, WRITE);
    expect(attempt(guest, "load", PAGE)).toBeNull();
    expect(attempt(guest, "store", PAGE)?.dsisr).toBe(PROTECTION | STORE);
    expect(attempt(guest, "load", PAGE + 0x10000n)?.dsisr).toBe(PROTECTION);
    expect(attempt(guest, "load", PAGE + 0x20000n)).toBeNull();
  });

  it("raises data segment in quadrants 1 and 2 and for bits above the 52nd", () => {
    const { guest } = world();
    for (const ea of [0x4000000000000000n, 0x8000000000000000n, 0x0010000000000000n, 0xd000000000000000n]) {
      const fault = attempt(guest, "load", ea);
      expect(fault).toMatchObject({ vector: 0x380n, dar: ea });
    }
  });

  it("raises bad radix configuration when a table lies outside of memory or has no size", () => {
    const { guest, user } = world();
    const slot = user + 8 * Number(PAGE >> 39n);
    guest.entry(slot, Pte.valid | 0x7fffffff00n | 9n);
    expect(attempt(guest, "load", PAGE)?.dsisr).toBe(BAD_RADIX);
    guest.entry(slot, Pte.valid | 0x20000n);
    expect(attempt(guest, "load", PAGE)?.dsisr).toBe(BAD_RADIX);
    guest.entry(slot, Pte.valid | 0x20000n | 31n);
    expect(attempt(guest, "load", PAGE)?.dsisr).toBe(BAD_RADIX);
    guest.cpu.setSpr(SPR.pidr, 4096n);
    expect(attempt(guest, "load", PAGE)?.dsisr).toBe(BAD_RADIX);
  });

  it("lets AMR key 0 take user pages away from the kernel, and gives them back without a flush", () => {
    const { guest, user } = world();
    guest.map(user, PAGE, DATA, READ | WRITE);
    guest.map(user, PAGE + 0x10000n, DATA, PRIVILEGED | READ | WRITE);
    const results = [0n, 1n, 2n, 3n, 0n].map((key) => {
      guest.cpu.setSpr(SPR.amr, key << 62n);
      expect(attempt(guest, "store", PAGE + 0x10000n)).toBeNull();
      return [attempt(guest, "load", PAGE)?.dsisr ?? 0n, attempt(guest, "store", PAGE)?.dsisr ?? 0n];
    });
    expect(results).toEqual([
      [0n, 0n],
      [PROTECTION, 0n],
      [0n, PROTECTION | STORE],
      [PROTECTION, PROTECTION | STORE],
      [0n, 0n],
    ]);
  });

  it("keeps a stale translation until tlbie names the page", () => {
    const { guest, user } = world();
    guest.code(CODE + 0x200, (a) => {
      a.tlbie(r5, r3, 0, 1, 1);
      a.sc(1);
    });
    guest.ram.setBigUint64(DATA, 1n, true);
    guest.ram.setBigUint64(DATA + 0x10000, 2n, true);
    guest.map(user, PAGE, DATA, READ | WRITE);
    attempt(guest, "load", PAGE);
    guest.map(user, PAGE, DATA + 0x10000, READ | WRITE);
    attempt(guest, "load", PAGE);
    expect(guest.get(3)).toBe(1n);
    guest.set(5, PAGE | (5n << 5n));
    guest.start(KERNEL_BASE + BigInt(CODE + 0x200), VIRTUAL);
    guest.stop();
    attempt(guest, "load", PAGE);
    expect(guest.get(3)).toBe(2n);
  });

  it("follows PIDR: quadrant 0 belongs to the process, quadrant 3 to the kernel", () => {
    const { guest, user } = world();
    const other = guest.process(6);
    guest.map(user, PAGE, DATA, READ);
    guest.map(other, PAGE, DATA + 0x10000, READ);
    guest.ram.setBigUint64(DATA, 5n, true);
    guest.ram.setBigUint64(DATA + 0x10000, 6n, true);
    for (const pid of [5n, 6n, 5n]) {
      guest.code(CODE + 0x300, (a) => {
        a.mtspr(SPR.pidr, r5);
        a.sc(1);
      });
      guest.set(5, pid);
      guest.start(KERNEL_BASE + BigInt(CODE + 0x300), VIRTUAL);
      guest.stop();
      expect(attempt(guest, "load", PAGE)).toBeNull();
      expect(guest.get(3)).toBe(pid);
    }
  });
});

describe("ppc64 engine: instruction fetch and problem state", () => {
  const fetchFault = (guest: Guest, ea: bigint, msr: bigint): [vector: bigint, cause: bigint] => {
    guest.start(ea, msr);
    const at = guest.stop() - KERNEL_BASE;
    expect(guest.cpu.spr(SPR.srr0)).toBe(ea);
    return [at - 0x4000n, guest.cpu.spr(SPR.srr1) & 0x783f0000n];
  };

  it("raises instruction storage or segment with the cause in SRR1", () => {
    const { guest, user } = world();
    guest.map(user, PAGE, DATA, READ | WRITE);
    guest.map(user, PAGE + 0x10000n, DATA, PRIVILEGED | READ | EXECUTE);
    guest.map(user, PAGE + 0x20000n, 0x200000000000n, READ | EXECUTE | Pte.io);
    guest.map(user, PAGE + 0x30000n, DATA, READ | EXECUTE);
    expect(fetchFault(guest, PAGE - 0x10000n, USER)).toEqual([0x400n, NO_PTE]);
    expect(fetchFault(guest, PAGE, USER)).toEqual([0x400n, NO_EXECUTE]);
    expect(fetchFault(guest, PAGE + 0x10000n, USER)).toEqual([0x400n, PROTECTION]);
    expect(fetchFault(guest, PAGE + 0x20000n, USER)).toEqual([0x400n, NO_EXECUTE]);
    expect(fetchFault(guest, 0x4000000000000000n, USER)).toEqual([0x480n, 0n]);
    guest.cpu.setSpr(SPR.iamr, 1n << 62n);
    expect(fetchFault(guest, PAGE + 0x30000n, VIRTUAL)).toEqual([0x400n, NO_EXECUTE]);
  });

  it("keeps problem state out of privileged pages and instructions", () => {
    const { guest, user } = world();
    guest.map(user, PAGE, CODE, READ | EXECUTE);
    guest.set(4, KERNEL_BASE + BigInt(DATA));
    guest.start(PAGE, USER);
    expect(guest.stop()).toBe(KERNEL_BASE + 0x4300n);
    expect(guest.cpu.spr(SPR.dsisr)).toBe(PROTECTION);
    expect(guest.cpu.spr(SPR.srr1)).toBe(USER & ~0x783f0000n);
    expect(guest.cpu.msr).toBe(VIRTUAL & ~2n);
    const privileged: [string, ...number[]][] = [
      ["mfmsr", 3],
      ["mtmsrd", 3, 0],
      ["rfid"],
      ["tlbie", 3, 4, 0, 1, 1],
      ["mfspr", 3, 26],
      ["mtspr", 275, 3],
      ["mfspr", 3, 22],
      ["sc", 1],
      ["slbia"],
    ];
    for (const [name, ...operands] of privileged) {
      guest.code(CODE + 0x400, (a) => a.emit(name, ...operands));
      guest.cpu.flushTlb();
      expect(fetchFault(guest, PAGE + 0x400n, USER), name).toEqual([0x700n, 0x40000n]);
    }
    for (const word of [0, 0x7c0002a6 | (5 << 16), 0x00000001]) {
      guest.code(CODE + 0x400, (a) => a.word(word));
      guest.cpu.flushTlb();
      expect(fetchFault(guest, PAGE + 0x400n, USER), word.toString(16)).toEqual([0x700n, 0x80000n]);
    }
    expect(guest.cpu.msr & EE).toBe(0n);
  });
});
