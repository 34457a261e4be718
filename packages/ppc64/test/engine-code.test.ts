import { describe, expect, it } from "vitest";
import { Assembler, r3, r4, r5 } from "../src/asm/index.ts";
import { Cpu, ExitReason, Ppc64Error } from "../src/index.ts";
import { Guest, RAM_BYTES, REAL } from "./support/guest.ts";

const CODE = 0x10000;

/** The word of one instruction. */
function wordOf(write: (a: Assembler) => void): bigint {
  const a = new Assembler();
  write(a);
  return BigInt(new DataView(a.bytes().buffer).getUint32(0, true));
}

describe("ppc64 engine: code pages", () => {
  it("goes straight on from one page to the next, and branches across pages", () => {
    const guest = new Guest();
    const end = CODE + 0x1000;
    guest.code(end - 8, (a) => {
      a.addi(r3, r3, 1);
      a.addi(r3, r3, 2);
      a.addi(r3, r3, 4);
      a.label("there");
      a.cmpdi(r3, 7);
      a.li(r4, 0);
      a.bne("done");
      a.addi(r3, r3, 8);
      a.bl("far");
      a.label("done");
      a.sc(1);
      a.space(0x3000);
      a.label("far");
      a.addi(r4, r4, 16);
      a.blr();
    });
    guest.set(3, 0n);
    guest.start(end - 8);
    guest.stop();
    expect([guest.get(3), guest.get(4)]).toEqual([15n, 16n]);
    expect(guest.cpu.lr).toBe(BigInt(end + 4 + 5 * 4));
  });

  it("executes new code after icbi, in another page and in its own", () => {
    for (const distance of [0x40, 0x2000]) {
      const guest = new Guest();
      const target = CODE + distance;
      guest.code(CODE, (a) => {
        a.std(r5, 0, r4);
        a.dcbst(0, r4);
        a.sync();
        a.icbi(0, r4);
        a.isync();
        a.mtctr(r4);
        a.bctr();
      });
      guest.code(target, (a) => {
        a.li(r3, 1);
        a.sc(1);
      });
      guest.set(4, BigInt(target));
      for (const value of [1n, 2n, 3n]) {
        const load = wordOf((a) => a.li(r3, Number(value)));
        guest.set(5, load | (wordOf((a) => a.sc(1)) << 32n));
        guest.start(CODE);
        guest.stop();
        expect(guest.get(3)).toBe(value);
      }
      expect(guest.cpu.counters.changedPages).toBeGreaterThan(0);
    }
  });

  it("starts the pool again when more pages run than it has", () => {
    const guest = new Guest({ decodePages: 4 });
    guest.code(CODE, (a) => {
      for (let page = 0; page < 10; page++) {
        a.label(`page ${page}`);
        a.addi(r3, r3, 1);
        if (page === 9) a.sc(1);
        else a.b(`page ${page + 1}`);
        a.align(4096);
      }
    });
    guest.set(3, 0n);
    for (let round = 1; round <= 3; round++) {
      guest.start(CODE);
      guest.stop();
      expect(guest.get(3)).toBe(BigInt(10 * round));
    }
    expect(guest.cpu.counters.poolResets).toBeGreaterThan(3);
  });
});

describe("ppc64 engine: leaving run()", () => {
  it("stops at the budget within one straight line, and goes on where it was", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.label("again");
      a.addi(r3, r3, 1);
      a.addi(r4, r4, 1);
      a.b("again");
    });
    guest.set(3, 0n);
    guest.start(CODE);
    for (let n = 1; n <= 5; n++) {
      expect(guest.cpu.run(1000)).toBe(ExitReason.budget);
      expect(guest.cpu.retired).toBeGreaterThanOrEqual(1000 * n);
      expect(guest.cpu.retired).toBeLessThan(1000 * n + 15);
      expect(guest.get(3)).toBe(BigInt(guest.cpu.retired / 3));
    }
    expect(guest.cpu.run(0)).toBe(ExitReason.budget);
  });

  it("hands out hypercalls with the registers in place", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.li(r3, 0x58);
      a.sc(1);
      a.addi(r4, r3, 1);
      a.sc(1);
    });
    guest.start(CODE);
    expect(guest.stop()).toBe(BigInt(CODE + 4));
    expect([guest.cpu.gpr(3), guest.cpu.gprLo(3), guest.cpu.gprHi(3)]).toEqual([0x58, 0x58, 0]);
    guest.cpu.setGpr(3, 0xffffffff, 0xfffffffe);
    expect(guest.stop()).toBe(BigInt(CODE + 12));
    expect(guest.get(4)).toBe(0xffffffffffffffffn);
  });

  it("stops at the trap address, also when the guest gets there in 32-bit big-endian mode", () => {
    const guest = new Guest({ trapAddress: 0x7fff0000 });
    guest.code(CODE, (a) => a.rfid());
    guest.cpu.setSpr(26, 0x7fff0000n);
    for (const msr of [0x1002n, REAL]) {
      guest.cpu.setSpr(27, msr);
      guest.start(CODE);
      expect(guest.cpu.run(1000)).toBe(ExitReason.trap);
      expect(guest.cpu.pc).toBe(0x7fff0000n);
      expect(guest.cpu.msr).toBe(msr);
    }
  });

  it("halts with a message where it cannot go on", () => {
    const guest = new Guest();
    guest.start(RAM_BYTES + 0x1000);
    expect(guest.cpu.run(1000)).toBe(ExitReason.halt);
    expect(guest.cpu.exit.message).toMatch(/fetch outside of RAM at 0x1001000/);
    guest.start(CODE, 0n);
    expect(guest.cpu.run(1000)).toBe(ExitReason.halt);
    expect(guest.cpu.exit.message).toMatch(/big-endian or 32-bit/);
  });

  it("keeps registers under their names", () => {
    const { cpu } = new Guest();
    cpu.cr = 0x12345678;
    cpu.xer = 0xe00c007f;
    cpu.lr = 0x123456789abcdef0n;
    cpu.ctr = 5n;
    cpu.setSpr(3, 17n);
    expect([cpu.cr, cpu.xer, cpu.lr, cpu.ctr, cpu.spr(17)]).toEqual([
      0x12345678,
      0xe00c007f,
      0x123456789abcdef0n,
      5n,
      17n,
    ]);
    expect(cpu.spr(287)).toBe(0x004e1202n);
    expect(cpu.spr(1)).toBe(0xe00c007fn);
  });

  it("refuses memory sizes that it cannot have", () => {
    for (const ramBytes of [0, -65536, 1000, 2 ** 32, Number.NaN]) {
      expect(() => Cpu.create({ ramBytes })).toThrow(Ppc64Error);
    }
    expect(() => Cpu.create({ ramBytes: 65536, decodePages: 0 })).toThrow(/at least one page/);
  });
});
