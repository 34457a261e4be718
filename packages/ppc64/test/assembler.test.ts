import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Assembler, buildElf, disassemble, loadConstant, PF_R, PF_X, Ppc64Error } from "../src/asm/index.ts";

function listing(a: Assembler): string[] {
  const bytes = a.bytes();
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length >> 2 }, (_, i) =>
    disassemble(view.getUint32(i * 4, true), a.origin + i * 4),
  );
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (e) {
    if (e instanceof Ppc64Error) return e.code;
    throw e;
  }
  return "";
}

/** What the constant sequences compute, by the four instructions they are made of. */
function evaluate(rt: number, value: bigint): bigint {
  let r = 0n;
  for (const [name, ...args] of loadConstant(rt, value)) {
    const last = BigInt(args.at(-1)!);
    if (name === "addi") r = last;
    else if (name === "addis") r = last << 16n;
    else if (name === "ori") r |= last;
    else if (name === "oris") r |= last << 16n;
    else if (name === "rldicr") r <<= 32n;
    else throw new Error(name);
    r = BigInt.asUintN(64, r);
  }
  return r;
}

describe("ppc64 asm: labels", () => {
  it("resolves backward and forward branches", () => {
    const a = new Assembler({ origin: 0x1000 });
    a.label("top");
    a.cmpwi(7, 3, 0);
    a.beq(7, "end");
    a.bdnz("top");
    a.bl("top");
    a.label("end");
    a.blr();
    expect(listing(a)).toEqual([
      "cmpi cr7,0,r3,0",
      "bc 12,4*cr7+eq,0x1010",
      "bc 16,lt,0x1000",
      "bl 0x1000",
      "bclr 20,lt,0",
    ]);
  });

  it("loads label addresses relative to the program counter, both ways", () => {
    fc.assert(
      fc.property(fc.integer({ min: -0x7fff0000, max: 0x7fff0000 }), (distance) => {
        const a = new Assembler({ origin: 0x100000000 });
        a.define("there", 0x100000004 + distance);
        a.la(5, "there");
        const view = new DataView(a.bytes().buffer);
        const [first, second] = [view.getUint32(0, true), view.getUint32(4, true)];
        const high = Number(disassemble(first).split(",")[1]);
        const low = Number(disassemble(second).split(",")[2]);
        return high * 0x10000 + low === distance;
      }),
    );
  });

  it("puts label addresses into data", () => {
    const a = new Assembler({ origin: 0x100 });
    a.u8(1);
    a.align(8);
    a.u64("end", 5n);
    a.u32("end");
    a.u16(0x1234);
    a.asciz("é");
    a.label("end");
    const view = new DataView(a.bytes().buffer);
    expect(view.getBigUint64(8, true)).toBe(0x121n);
    expect(view.getBigUint64(16, true)).toBe(5n);
    expect(view.getUint32(24, true)).toBe(0x121);
    expect([...a.bytes().slice(28)]).toEqual([0x34, 0x12, 0xc3, 0xa9, 0]);
  });

  it("grows past its first buffer", () => {
    const a = new Assembler();
    for (let i = 0; i < 5000; i++) a.nop();
    expect(a.bytes().length).toBe(20000);
    expect(new Set(listing(a))).toEqual(new Set(["ori r0,r0,0"]));
  });
});

describe("ppc64 asm: refusals", () => {
  it("names what does not fit", () => {
    const a = new Assembler();
    expect(codeOf(() => a.addi(3, 0, 32768))).toBe("ASM_RANGE");
    expect(codeOf(() => a.add(32, 0, 1))).toBe("ASM_RANGE");
    expect(codeOf(() => a.ld(3, 6, 1))).toBe("ASM_ALIGN");
    expect(codeOf(() => a.addi(3, 0, 1.5))).toBe("ASM_RANGE");
    expect(codeOf(() => a.emit("addi", 3, 0))).toBe("ASM_OPERANDS");
    expect(codeOf(() => a.emit("addi", 3, 0, "label"))).toBe("ASM_OPERANDS");
    expect(codeOf(() => a.emit("frobnicate"))).toBe("ASM_MNEMONIC");
    expect(a.size).toBe(0);
  });

  it("refuses unknown, doubled and unreachable labels", () => {
    const a = new Assembler();
    a.label("x");
    expect(codeOf(() => a.label("x"))).toBe("ASM_LABEL");
    a.b("nowhere");
    expect(codeOf(() => a.bytes())).toBe("ASM_LABEL");
    const far = new Assembler();
    far.beq("far");
    far.space(40000);
    far.label("far");
    expect(codeOf(() => far.bytes())).toBe("ASM_RANGE");
  });
});

describe("ppc64 asm: constants and spelling", () => {
  it("builds any 64-bit constant in at most five instructions", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n }), (value) => {
        return loadConstant(3, value).length <= 5 && evaluate(3, value) === BigInt.asUintN(64, value);
      }),
    );
    for (const v of [0n, -1n, 32767n, 32768n, -32769n, 0x80000000n, 0xffffffffn, 1n << 32n, 1n << 63n]) {
      expect(evaluate(3, v)).toBe(BigInt.asUintN(64, v));
    }
  });

  it("spells record forms with a dot or an underscore", () => {
    const a = new Assembler();
    a["andi."](3, 4, 5);
    a.andi_(3, 4, 5);
    a.addo_(3, 4, 5);
    expect(listing(a)).toEqual(["andi. r3,r4,5", "andi. r3,r4,5", "addo. r3,r4,r5"]);
  });
});

describe("ppc64 asm: ELF writer", () => {
  it("keeps file offsets congruent to addresses", () => {
    const elf = buildElf({
      entry: 0x10000000,
      segments: [
        { address: 0x10000000, bytes: Uint8Array.of(1, 2, 3), flags: PF_R | PF_X },
        { address: 0x10020040, bytes: Uint8Array.of(4), memorySize: 0x1000, flags: PF_R },
      ],
    });
    const view = new DataView(elf.buffer);
    for (const at of [64, 120]) {
      const offset = Number(view.getBigUint64(at + 8, true));
      expect(offset % 0x10000).toBe(Number(view.getBigUint64(at + 16, true)) % 0x10000);
      expect(elf[offset]).toBe(at === 64 ? 1 : 4);
    }
    expect(view.getBigUint64(120 + 40, true)).toBe(0x1000n);
  });

  it("refuses segments that share a page", () => {
    const bytes = Uint8Array.of(0);
    const segments = [
      { address: 0x10000, bytes, flags: PF_R },
      { address: 0x18000, bytes, flags: PF_R },
    ];
    expect(codeOf(() => buildElf({ entry: 0, segments }))).toBe("ELF_OVERLAP");
  });
});
