// Firmware calls: big-endian 32-bit code in real mode, as far as a little-endian guest passes through it.
import { describe, expect, it } from "vitest";
import { Assembler, r3, r4, r10, r11, SPR_SRR0, SPR_SRR1 } from "../src/asm/index.ts";
import { ExitReason } from "../src/index.ts";
import { Guest, REAL } from "./support/guest.ts";

const CODE = 0x10000;
const FIRMWARE = 0x20000;
/** ME and RI: 32-bit, big-endian, translation off. */
const FIRMWARE_MSR = 0x1002n;

function bigEndian(guest: Guest, origin: number, write: (a: Assembler) => void): void {
  const a = new Assembler({ origin });
  write(a);
  const words = a.bytes();
  const from = new DataView(words.buffer, words.byteOffset, words.byteLength);
  for (let at = 0; at < words.length; at += 4) guest.ram.setUint32(origin + at, from.getUint32(at, true));
}

/** Enters FIRMWARE with r3 = 0x1234 and LR = behind the rfid, where the words of an endian trampoline stand. */
function caller(guest: Guest): void {
  guest.code(CODE, (a) => {
    a.la(r4, "back");
    a.mtlr(r4);
    a.li64(r3, 0x1234);
    a.li64(r4, FIRMWARE);
    a.mtspr(SPR_SRR0, r4);
    a.li64(r4, FIRMWARE_MSR);
    a.mtspr(SPR_SRR1, r4);
    a.rfid();
    a.label("back");
    // tdi 0,0,0x48 reads backwards as b .+8
    a.word(0x08000048);
    a.b("little");
    const swapped = new Assembler();
    swapped.mfmsr(r11);
    swapped.xori(r11, r11, 1);
    swapped.bcl(20, 31, swapped.here + 4);
    swapped.mflr(r10);
    swapped.addi(r10, r10, 20);
    swapped.mtspr(SPR_SRR0, r10);
    swapped.mtspr(SPR_SRR1, r11);
    swapped.rfid();
    const bytes = new DataView(swapped.bytes().buffer);
    for (let at = 0; at < bytes.byteLength; at += 4) a.word(bytes.getUint32(at));
    a.label("little");
    // Little-endian, still 32-bit: set SF.
    a.li(r4, 1);
    a.sldi(r4, r4, 63);
    a.ori(r4, r4, 0x1003);
    a.mtmsrd(r4);
    a.sc(1);
  });
  guest.start(CODE);
}

describe("ppc64 engine: big-endian and 32-bit mode", () => {
  it("runs a firmware call and the trampoline behind it", () => {
    const guest = new Guest();
    caller(guest);
    bigEndian(guest, FIRMWARE, (a) => {
      a.mr(r4, r3);
      a.lis(r3, 0);
      a.ori(r3, r3, 0xf000);
      a.sc(1);
      a.blr();
    });
    expect(guest.cpu.run(1000)).toBe(ExitReason.hcall);
    expect([guest.get(3), guest.get(4), guest.cpu.pc]).toEqual([0xf000n, 0x1234n, BigInt(FIRMWARE) + 16n]);
    expect(guest.cpu.msr).toBe(FIRMWARE_MSR);
    guest.set(3, 5n);
    expect(guest.cpu.run(1000)).toBe(ExitReason.hcall);
    expect(guest.cpu.msr).toBe(0x8000000000001003n);
    expect(guest.get(3)).toBe(5n);
  });

  it("takes conditional branches as the interpreter does, with a 32-bit CTR", () => {
    const guest = new Guest();
    bigEndian(guest, FIRMWARE, (a) => {
      a.li(r3, 0);
      a.label("again");
      a.addi(r3, r3, 1);
      a.bdnz("again");
      a.bne("other");
      a.addi(r3, r3, 100);
      a.label("other");
      a.sc(1);
    });
    for (const [cr, sum] of [
      [0, 3n],
      [0x20000000, 103n],
    ] as const) {
      guest.start(FIRMWARE, FIRMWARE_MSR);
      // The upper half does not count.
      guest.cpu.ctr = 0x5_0000_0003n;
      guest.cpu.cr = cr;
      guest.stop();
      expect([guest.get(3), guest.cpu.ctr]).toEqual([sum, 0x5_0000_0000n]);
    }
  });

  it("halts on what it does not do: data, record forms, relocation, nothing at the address", () => {
    const guest = new Guest();
    const halts = (write: (a: Assembler) => void, msr = FIRMWARE_MSR): string => {
      bigEndian(guest, FIRMWARE, write);
      guest.start(FIRMWARE, msr);
      expect(guest.cpu.run(1000)).toBe(ExitReason.halt);
      return guest.cpu.exit.message;
    };
    expect(halts((a) => a.lwz(r3, 0, r4))).toContain("Instruction 0x80640000 in big-endian or 32-bit mode");
    expect(halts((a) => a.or_(r3, r3, r4))).toContain("big-endian or 32-bit mode");
    expect(halts((a) => a.nop(), FIRMWARE_MSR | 0x30n)).toContain("relocation on");
    guest.start(0xfff0000, FIRMWARE_MSR);
    expect(guest.cpu.run(10)).toBe(ExitReason.halt);
    expect(guest.cpu.exit.message).toContain("outside of RAM");
  });

  it("does not spin for ever in a loop of such code", () => {
    const guest = new Guest();
    bigEndian(guest, FIRMWARE, (a) => {
      a.label("here");
      a.b("here");
    });
    guest.start(FIRMWARE, FIRMWARE_MSR);
    expect(guest.cpu.run(10_000)).toBe(ExitReason.budget);
    expect(guest.cpu.retired).toBeGreaterThanOrEqual(10_000);
  });
});

describe("ppc64 engine: hypercalls answered inside", () => {
  it("goes on without leaving run() when the hook has answered, and leaves when it has not", () => {
    const guest = new Guest();
    guest.code(CODE, (a) => {
      a.li(r3, 4);
      a.sc(1);
      a.mr(r10, r3);
      a.li(r3, 8);
      a.sc(1);
    });
    guest.start(CODE, REAL);
    let asked = 0;
    guest.cpu.hypercallInside = () => {
      asked++;
      if (guest.get(3) !== 4n) return false;
      guest.set(3, 77n);
      return true;
    };
    expect(guest.stop()).toBe(BigInt(CODE) + 16n);
    expect([asked, guest.get(10), guest.get(3)]).toEqual([2, 77n, 8n]);
  });
});
