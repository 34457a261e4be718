import { describe, expect, it } from "vitest";
import { r3, r4, r5, r6, r7, r8 } from "../src/asm/index.ts";
import { ExitReason } from "../src/index.ts";
import { EE, EXECUTE, Guest, KERNEL_BASE, READ, REAL, USER, VIRTUAL, virtualGuest } from "./support/guest.ts";

const CODE = 0x10000;
const SPR = { xer: 1, lr: 8, ctr: 9, dsisr: 18, dar: 19, dec: 22, srr0: 26, srr1: 27, fscr: 153, vtb: 849 } as const;
const SPR_PIDR = 48;
const PAGE = 0x100000n;

/** Handlers at every vector, in real mode and where AIL puts them. */
function handlers(guest: Guest): void {
  const vectors = [0x300, 0x380, 0x400, 0x480, 0x500, 0x600, 0x700, 0x800, 0x900, 0xc00, 0xf20, 0xf40, 0xf60];
  for (const vector of vectors) {
    guest.handler(vector);
    guest.handler(0x4000 + vector);
  }
}

function realGuest(): Guest {
  const guest = new Guest();
  handlers(guest);
  return guest;
}

describe("ppc64 engine: interrupt entry", () => {
  it("goes to real mode without AIL, and stays in virtual mode with it", () => {
    const { guest } = virtualGuest();
    handlers(guest);
    guest.code(CODE, (a) => a.sc());
    for (const ail of [true, false]) {
      guest.cpu.setAil(ail);
      guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL | EE);
      expect(guest.stop()).toBe(ail ? KERNEL_BASE + 0x4c00n : 0xc00n);
      expect(guest.cpu.msr).toBe(ail ? VIRTUAL & ~2n : 0x8000000000001001n);
      expect(guest.cpu.spr(SPR.srr0)).toBe(KERNEL_BASE + BigInt(CODE) + 4n);
      expect(guest.cpu.spr(SPR.srr1)).toBe(VIRTUAL | EE);
    }
    guest.cpu.setAil(true);
    guest.start(CODE, REAL);
    expect(guest.stop()).toBe(0xc00n);
  });

  it("returns with rfid to the mode that SRR1 names", () => {
    const { guest } = virtualGuest();
    const user = guest.process(7);
    guest.cpu.setSpr(SPR_PIDR, 7n);
    handlers(guest);
    guest.map(user, PAGE, CODE, READ | EXECUTE);
    guest.code(CODE, (a) => a.sc());
    guest.code(CODE + 0x100, (a) => a.rfid());
    guest.cpu.setSpr(SPR.srr0, PAGE);
    // PR alone: EE, IR and DR are implied.
    guest.cpu.setSpr(SPR.srr1, 0x8000000000004001n);
    guest.start(CODE + 0x100, REAL);
    expect(guest.stop()).toBe(KERNEL_BASE + 0x4c00n);
    expect(guest.cpu.spr(SPR.srr1)).toBe(0x800000000000c031n);
  });

  it("names illegal instructions, facilities and alignment", () => {
    const guest = realGuest();
    const word = (value: number): number => value >>> 0;
    const cases: [word: number, vector: bigint, cause: bigint][] = [
      [0, 0x700n, 0x80000n],
      [word(0xfc00002a), 0x800n, 0n], // fadd
      [word(0xc8010000), 0x800n, 0n], // lfd
      [word(0x10000000), 0xf20n, 0n], // vaddubm
      [word(0x7c0000ce), 0xf20n, 0n], // lvx
      [word(0xf0000000), 0xf40n, 0n], // xsaddsp
      [word(0xf4000001), 0xf40n, 0n], // lxv
      [word(0xb8610000), 0x600n, 0n], // lmw
    ];
    cases.forEach(([value, vector, cause], n) => {
      guest.code(CODE + 16 * n, (a) => a.word(value));
      guest.start(CODE + 16 * n);
      guest.cpu.flushTlb();
      expect(guest.stop(), value.toString(16)).toBe(vector);
      expect(guest.cpu.spr(SPR.srr1) & 0x783f0000n).toBe(cause);
    });
    // With the facility on, the instruction is still not executed: illegal.
    guest.start(CODE + 16, REAL | 0x2000n);
    expect(guest.stop()).toBe(0x700n);
  });

  it("raises alignment for misaligned reservations, with DAR", () => {
    const guest = realGuest();
    guest.code(CODE, (a) => a.lwarx(r3, 0, r4));
    guest.code(CODE + 16, (a) => a.stdcx_(r3, r5, r4));
    guest.code(CODE + 32, (a) => a.lq(r6, 16, r4));
    guest.set(4, 0x20002n);
    guest.set(5, 0x100n);
    for (const [at, dar] of [
      [CODE, 0x20002n],
      [CODE + 16, 0x20102n],
      [CODE + 32, 0x20012n],
    ] as const) {
      guest.start(at);
      expect(guest.stop()).toBe(0x600n);
      expect(guest.cpu.spr(SPR.dar)).toBe(dar);
    }
  });

  it("carries out scv when FSCR allows it, and refuses it otherwise", () => {
    const { guest } = virtualGuest();
    handlers(guest);
    guest.code(CODE, (a) => a.scv(1));
    guest.handler(0x3020);
    guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL | EE);
    expect(guest.stop()).toBe(KERNEL_BASE + 0x4f60n);
    expect(guest.cpu.spr(SPR.fscr) >> 56n).toBe(12n);
    guest.cpu.setSpr(SPR.fscr, 1n << 12n);
    guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL | EE);
    expect(guest.stop()).toBe(KERNEL_BASE + 0x3020n);
    expect(guest.cpu.lr).toBe(KERNEL_BASE + BigInt(CODE) + 4n);
    expect(guest.cpu.ctr).toBe(VIRTUAL | EE);
    expect(guest.cpu.msr).toBe(VIRTUAL | EE);
  });
});

describe("ppc64 engine: asynchronous interrupts", () => {
  /** A loop that never ends. */
  function spinning(): Guest {
    const guest = realGuest();
    guest.code(CODE, (a) => {
      a.label("spin");
      a.addi(r3, r3, 1);
      a.b("spin");
    });
    guest.set(3, 0n);
    return guest;
  }

  it("takes the decrementer when its sign bit is set and EE is on", () => {
    const guest = spinning();
    guest.cpu.setSpr(SPR.dec, 1000n);
    expect(guest.cpu.ticksToDecrementer()).toBe(1001);
    guest.start(CODE, REAL);
    expect(guest.cpu.run(5000)).toBe(ExitReason.budget);
    expect(guest.cpu.interruptDeliverable()).toBe(true);
    guest.cpu.setMsrEE();
    expect(guest.stop()).toBe(0x900n);
    expect(guest.cpu.spr(SPR.srr1)).toBe(REAL | EE);
    // It is a level: still pending until DEC is written.
    guest.cpu.setMsrEE();
    expect(guest.stop()).toBe(0x900n);
    guest.cpu.setSpr(SPR.dec, 2000n);
    guest.set(3, 0n);
    guest.start(CODE, REAL | EE);
    expect(guest.stop()).toBe(0x900n);
    expect(Number(guest.get(3))).toBeGreaterThan(990);
    expect(Number(guest.get(3))).toBeLessThan(1010);
  });

  it("counts one tick an instruction, and the time that is skipped", () => {
    const guest = realGuest();
    guest.code(CODE, (a) => {
      a.mftb(r3, 268);
      for (let n = 0; n < 8; n++) a.nop();
      a.mftb(r4, 268);
      a.mfspr(r5, SPR.dec);
      a.mtspr(SPR.dec, r6);
      a.mfspr(r6, SPR.dec);
      a.mftb(r7, 268);
      a.mfspr(r8, SPR.vtb);
      a.sc(1);
    });
    guest.set(6, -5n);
    guest.cpu.setSpr(SPR.dec, 100n);
    guest.start(CODE);
    guest.stop();
    expect(guest.get(8)).toBe(guest.get(7) + 1n);
    expect(guest.get(4) - guest.get(3)).toBe(9n);
    expect(guest.get(5)).toBe(90n);
    expect(BigInt.asIntN(64, guest.get(6))).toBe(-5n);
    guest.cpu.setSpr(SPR.dec, 500n);
    const before = guest.cpu.timebase();
    guest.cpu.advanceTimebase(400);
    expect(guest.cpu.timebase()).toBe(before + 400);
    expect(guest.cpu.ticksToDecrementer()).toBe(101);
    guest.cpu.advanceTimebase(101);
    expect(guest.cpu.ticksToDecrementer()).toBe(0);
  });

  it("takes an external interrupt as long as the line is up, before the decrementer", () => {
    const guest = spinning();
    guest.cpu.setSpr(SPR.dec, -1n);
    guest.cpu.setExternalInterrupt(true);
    for (const vector of [0x500n, 0x500n]) {
      guest.start(CODE, REAL | EE);
      expect(guest.stop()).toBe(vector);
    }
    guest.cpu.setExternalInterrupt(false);
    guest.start(CODE, REAL | EE);
    expect(guest.stop()).toBe(0x900n);
    expect(guest.cpu.counters.exceptions).toMatchObject({ "0x500": 2, "0x900": 1 });
  });

  it("delivers a pending interrupt as soon as mtmsrd or rfid sets EE", () => {
    const guest = realGuest();
    guest.code(CODE, (a) => {
      a.mtmsrd(r3, 1);
      a.sc(1);
    });
    guest.code(CODE + 0x100, (a) => a.rfid());
    guest.set(3, EE | 2n);
    guest.cpu.setExternalInterrupt(true);
    guest.start(CODE);
    expect(guest.stop()).toBe(0x500n);
    expect(guest.cpu.spr(SPR.srr0)).toBe(BigInt(CODE + 4));
    // Only EE and RI changed.
    expect(guest.cpu.spr(SPR.srr1)).toBe(REAL | EE | 2n);
    guest.cpu.setSpr(SPR.srr0, BigInt(CODE + 4));
    guest.cpu.setSpr(SPR.srr1, REAL | EE);
    guest.start(CODE + 0x100);
    expect(guest.stop()).toBe(0x500n);
    expect(guest.cpu.spr(SPR.srr0)).toBe(BigInt(CODE + 4));
  });

  it("clears a reservation on the way in", () => {
    const guest = realGuest();
    guest.code(CODE, (a) => {
      a.lwarx(r3, 0, r4);
      a.sc();
    });
    guest.code(CODE + 0x100, (a) => {
      a.stwcx_(r3, 0, r4);
      a.mfcr(r5);
      a.sc(1);
    });
    guest.set(4, 0x20000n);
    guest.start(CODE);
    expect(guest.stop()).toBe(0xc00n);
    guest.start(CODE + 0x100);
    guest.stop();
    expect(guest.get(5) >> 28n).toBe(0n);
  });

  it("comes back from an interrupt storm when the budget is used up", () => {
    const { guest } = virtualGuest();
    // No handler is mapped: every instruction storage interrupt raises the next one.
    guest.process(0);
    guest.start(PAGE, USER);
    expect(guest.cpu.run(10_000)).toBe(ExitReason.budget);
    expect(guest.cpu.retired).toBeGreaterThanOrEqual(10_000);
  });
});
