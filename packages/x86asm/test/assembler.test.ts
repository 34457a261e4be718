import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Assembler, ah, al, bx, byte, cx, dword, eax, ecx, mem, r8, rax, rsp, si, X86AsmError } from "../src/index.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const assembled = (emit: (a: Assembler) => void, bits: 16 | 64 = 64, origin = 0): string => {
  const a = new Assembler({ bits, origin });
  emit(a);
  return hex(a.bytes());
};

describe("x86asm: labels", () => {
  it("are used before and after they are placed, and more can follow bytes()", () => {
    const a = new Assembler({ origin: 0x1000 });
    a.jmp("end");
    expect(() => a.bytes()).toThrow(expect.objectContaining({ code: "ASM_LABEL" }));
    a.label("end");
    a.hlt();
    expect(hex(a.bytes())).toBe("e900000000f4");
    a.jmp("end");
    expect(hex(a.bytes())).toBe("e900000000f4e9faffffff");
    expect([a.addressOf("end"), a.here, a.size]).toEqual([0x1005, 0x100b, 11]);
  });

  it("stand for their address in constants, data and memory operands", () => {
    const emit = (a: Assembler): void => {
      a.mov(si, "text");
      a.mov(al, mem("text"));
      a.cmp(byte("text", 1), 7);
      a.label("text");
      a.u16("text");
      a.u32("text");
    };
    expect(assembled(emit, 16, 0x7c00)).toBe("be0b7ca00b7c803e0c7c070b7c0b7c0000");
    const far = (a: Assembler): void => {
      a.define("apic", 0xfee00000);
      a.movabs(rax, "apic");
      a.u64("apic", 1, 2n ** 64n - 1n);
    };
    expect(assembled(far)).toBe(`48b80000e0fe000000000000e0fe000000000100000000000000${"ff".repeat(8)}`);
  });

  it("in 64-bit mode are reached from the instruction's end, behind its constant", () => {
    const emit = (a: Assembler): void => {
      a.label("here");
      a.mov(dword("here"), 0x11223344);
    };
    expect(assembled(emit, 64, 0x40_0000_0000)).toBe("c705f6ffffff44332211");
  });

  it("property: a branch lands where its label is, whatever lies between", () => {
    const gap = fc.integer({ min: 0, max: 300 });
    fc.assert(
      fc.property(gap, gap, fc.boolean(), fc.constantFrom(16 as const, 64 as const), (before, after, back, bits) => {
        const a = new Assembler({ bits, origin: 0x500 });
        a.space(before);
        if (back) a.label("target");
        a.space(after);
        const at = a.here;
        a.je("target");
        const end = a.here;
        a.space(after);
        if (!back) a.label("target");
        const view = new DataView(a.bytes().buffer);
        const distance =
          bits === 16 ? view.getInt16(end - 2 - a.origin, true) : view.getInt32(end - 4 - a.origin, true);
        expect(end + distance).toBe(a.addressOf("target"));
        expect(end - at).toBe(bits === 16 ? 4 : 6);
      }),
    );
  });
});

describe("x86asm: data", () => {
  it("has numbers, text, space and alignment of the address", () => {
    const emit = (a: Assembler): void => {
      a.u8(1, 2);
      a.align(4);
      a.u16(0xaa55);
      a.asciz("ok");
      a.space(2, 0x90);
      a.data([3, 4]);
    };
    expect(assembled(emit, 16, 0x101)).toBe("01020055aa6f6b0090900304");
    const long = new Assembler();
    long.space(5000);
    long.u8(7);
    expect([long.bytes().length, long.bytes()[5000]]).toEqual([5001, 7]);
  });

  it("both modes go into one section", () => {
    const a = new Assembler({ bits: 16 });
    a.mov(eax, 1);
    a.bits(64);
    a.mov(eax, 1);
    expect(hex(a.bytes())).toBe("66b801000000b801000000");
  });
});

describe("x86asm: mistakes", () => {
  const code = (emit: (a: Assembler) => void, bits: 16 | 64 = 64): unknown => {
    try {
      assembled(emit, bits);
    } catch (error) {
      expect(error).toBeInstanceOf(X86AsmError);
      return (error as X86AsmError).code;
    }
    return null;
  };

  it("operands that no form takes are refused, with the forms", () => {
    expect(code((a) => a.mov(rax, eax))).toBe("ASM_OPERANDS");
    expect(code((a) => a.mov(mem(rax), 5))).toBe("ASM_OPERANDS");
    expect(code((a) => a.mov(al, 256))).toBe("ASM_OPERANDS");
    expect(code((a) => a.mov(rax, eax), 16)).toBe("ASM_OPERANDS");
    expect(code((a) => a.push(eax))).toBe("ASM_OPERANDS");
    expect(code((a) => a.mov(ah, mem(r8)))).toBe("ASM_OPERANDS");
    expect(code((a) => a.add(rax, 0x80000000))).toBe("ASM_OPERANDS");
    expect(() => assembled((a) => a.int(1, 2))).toThrow("int does not take (0x1, 0x2) in 64-bit mode");
    expect(() => assembled((a) => a.add(mem(rax, 8, rax, 2), -5))).toThrow("([rax+rax*2+0x8], -0x5)");
  });

  it("addresses that the mode does not have are refused", () => {
    expect(code((a) => a.mov(al, mem(cx)), 16)).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem(rax)), 16)).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem(bx)), 64)).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem(rax, 0, ecx)))).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem(rax, 0, rsp)))).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem("here", 0, rax)))).toBe("ASM_ADDRESS");
    expect(code((a) => a.mov(al, mem(0xfee00000)))).toBe("ASM_RANGE");
    expect(code((a) => a.mov(al, mem(bx, 0x12345)), 16)).toBe("ASM_RANGE");
  });

  it("labels that are missing, doubled or too far are named", () => {
    expect(code((a) => a.call("nowhere"))).toBe("ASM_LABEL");
    const twice = (a: Assembler): void => {
      a.label("x");
      a.label("x");
    };
    expect(code(twice)).toBe("ASM_LABEL");
    const far = (a: Assembler): void => {
      a.jmps("x");
      a.space(128);
      a.label("x");
    };
    expect(code(far)).toBe("ASM_RANGE");
    const high = (a: Assembler): void => {
      a.define("high", 0x80000000);
      a.mov(rax, "high");
    };
    expect(code(high)).toBe("ASM_RANGE");
  });
});
