// Guest programs that leave: ports of all widths and strings of them, memory of all widths, halts, faults.
import {
  Assembler,
  al,
  ax,
  byte,
  cx,
  di,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edx,
  mem,
  qword,
  r8,
  rax,
  rbx,
  si,
} from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import {
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_SHUTDOWN,
  KVM_INTERNAL_ERROR_EMULATION,
  type KvmVcpu,
} from "../../src/index.ts";
import { done, OK, PROGRAM, REAL_MODE_RAM, X86Guest } from "../support/x86-guest.ts";

const PORT = 0x510;
/** Nothing is there in either mode. */
const MEMORY_16 = REAL_MODE_RAM + 0x1000;
const MEMORY_64 = 0xd000_0000;

let guest: X86Guest;
afterEach(() => guest.close());

function start(mode: 16 | 64, emit: (a: Assembler) => void): X86Guest {
  const a = new Assembler({ bits: mode, origin: PROGRAM });
  emit(a);
  guest = new X86Guest(a, { mode });
  return guest;
}

/** Port accesses as "out 510.1 41": direction, port, bytes of one access, value; inputs get what `answer` says. */
function record(seen: string[], answer = 0): (vcpu: KvmVcpu) => void {
  return ({ ioIsOut, ioPort, ioWidth, ioCount, ioDataOffset, bytes }) => {
    for (let n = 0; n < ioCount; n++) {
      const data = bytes.subarray(ioDataOffset + n * ioWidth, ioDataOffset + (n + 1) * ioWidth);
      if (!ioIsOut) for (let i = 0; i < ioWidth; i++) data[i] = (answer + n + i) & 0xff;
      const value = [...data].reverse().map((each) => each.toString(16).padStart(2, "0"));
      seen.push(`${ioIsOut ? "out" : "in"} ${ioPort.toString(16)}.${ioWidth} ${value.join("")}`);
    }
  };
}

describe("kvm client on /dev/kvm: ports", () => {
  it("are written and read in bytes, words and doublewords", () => {
    start(16, (a) => {
      a.mov(dx, PORT);
      a.mov(eax, 0x11223344);
      a.out(dx, al);
      a.out(dx, ax);
      a.out(dx, eax);
      a.in(al, dx);
      a.mov(mem("got"), al);
      a.in(ax, dx);
      a.mov(mem("got", 1), ax);
      a.in(eax, dx);
      a.mov(mem("got", 3), eax);
      done(a);
      a.label("got");
      a.space(7);
    });
    const seen: string[] = [];
    expect(guest.run({ port: record(seen, 0xa0) })).toBe(OK);
    expect(seen).toEqual([
      "out 510.1 44",
      "out 510.2 3344",
      "out 510.4 11223344",
      "in 510.1 a0",
      "in 510.2 a1a0",
      "in 510.4 a3a2a1a0",
    ]);
    const got = [0, 1, 2, 3, 4, 5, 6].map((n) => guest.byteAt("got", n));
    expect(got).toEqual([0xa0, 0xa0, 0xa1, 0xa0, 0xa1, 0xa2, 0xa3]);
  });

  it("take strings, however many exits KVM makes of one", () => {
    start(16, (a) => {
      a.cld();
      a.mov(dx, PORT);
      a.mov(si, "text");
      a.mov(cx, 5);
      a.rep();
      a.outsb();
      a.mov(di, "got");
      a.mov(cx, 3);
      a.rep();
      a.insw();
      a.mov(si, "text");
      a.mov(cx, 1);
      a.rep();
      a.outsd();
      done(a);
      a.label("text");
      a.ascii("hello");
      a.label("got");
      a.space(6);
    });
    const seen: string[] = [];
    const port = (vcpu: KvmVcpu): void => {
      const before = seen.length;
      record(seen, 0x30 + before)(vcpu);
      expect(seen.length - before).toBe(vcpu.portExit().count);
    };
    expect(guest.run({ port })).toBe(OK);
    const words = seen.filter((line) => line.startsWith("in"));
    expect(seen.filter((line) => line.startsWith("out 510.1")).map((line) => line.slice(-2))).toEqual(
      [..."hello"].map((letter) => letter.charCodeAt(0).toString(16)),
    );
    expect(words).toHaveLength(3);
    const got = [0, 2, 4].map((n) => guest.byteAt("got", n) | (guest.byteAt("got", n + 1) << 8));
    expect(got).toEqual(words.map((line) => Number.parseInt(line.slice(-4), 16)));
    expect(seen.at(-1)).toBe("out 510.4 6c6c6568");
  });

  it("as objects: direction, width, count and data", () => {
    start(16, (a) => {
      a.mov(al, 0x41);
      a.out(0x42, al);
      done(a);
    });
    guest.run({
      port: (vcpu) => {
        const { out, port, width, count, data } = vcpu.portExit();
        expect([out, port, width, count, [...data]]).toEqual([true, 0x42, 1, 1, [0x41]]);
      },
    });
  });
});

describe("kvm client on /dev/kvm: memory that no slot holds", () => {
  it("is written and read in 16-bit mode", () => {
    start(16, (a) => {
      a.mov(byte(MEMORY_16), 0x42);
      a.mov(eax, mem(MEMORY_16 + 4));
      a.mov(mem("got"), eax);
      done(a);
      a.label("got");
      a.space(4);
    });
    const seen: string[] = [];
    const memory = (vcpu: KvmVcpu): void => {
      const { mmioAddress, mmioLength, mmioIsWrite, mmioLo } = vcpu;
      seen.push(`${mmioIsWrite} ${mmioAddress.toString(16)}.${mmioLength} ${mmioIsWrite ? mmioLo & 0xff : ""}`);
      const { address, length, write } = vcpu.mmioExit();
      expect([Number(address), length, write]).toEqual([mmioAddress, mmioLength, mmioIsWrite]);
      if (!mmioIsWrite) vcpu.setMmioData(0x89abcdef, 0);
    };
    expect(guest.run({ memory })).toBe(OK);
    expect(seen).toEqual([`true ${MEMORY_16.toString(16)}.1 66`, `false ${(MEMORY_16 + 4).toString(16)}.4 `]);
    expect([0, 1, 2, 3].map((n) => guest.byteAt("got", n))).toEqual([0xef, 0xcd, 0xab, 0x89]);
  });

  it("is written and read in 1, 2, 4 and 8 bytes in 64-bit mode", () => {
    start(64, (a) => {
      a.mov(rbx, MEMORY_64);
      a.movabs(rax, 0x1122334455667788n);
      a.mov(mem(rbx), al);
      a.mov(mem(rbx, 2), ax);
      a.mov(mem(rbx, 4), eax);
      a.mov(mem(rbx, 8), rax);
      a.movzx(ecx, byte(rbx, 0x10));
      a.mov(mem("got"), ecx);
      a.mov(r8, mem(rbx, 0x18));
      a.mov(mem("got", 8), r8);
      a.mov(edx, mem(rbx, 0x14));
      a.mov(mem("got", 4), edx);
      done(a);
      a.align(8);
      a.label("got");
      a.space(16);
    });
    const seen: string[] = [];
    const memory = (vcpu: KvmVcpu): void => {
      const { mmioAddress, mmioLength, mmioIsWrite, mmioLo, mmioHi } = vcpu;
      const value = (BigInt(mmioHi) << 32n) | BigInt(mmioLo);
      const shown = mmioIsWrite ? ` ${BigInt.asUintN(8 * mmioLength, value).toString(16)}` : "";
      seen.push(`${(mmioAddress - MEMORY_64).toString(16)}.${mmioLength}${shown}`);
      if (!mmioIsWrite) vcpu.setMmioData(0xfedcba98, 0x76543210);
    };
    expect(guest.run({ memory })).toBe(OK);
    expect(seen).toEqual(["0.1 88", "2.2 7788", "4.4 55667788", "8.8 1122334455667788", "10.1", "18.8", "14.4"]);
    const got = new DataView(new Uint8Array(16).map((_, n) => guest.byteAt("got", n)).buffer);
    expect([got.getUint32(0, true), got.getUint32(4, true), got.getBigUint64(8, true)]).toEqual([
      0x98,
      0xfedcba98,
      0x76543210fedcba98n,
    ]);
  });
});

describe("kvm client on /dev/kvm: ends", () => {
  it("a halt without interrupt controllers comes back, with registers as the program left them", () => {
    start(64, (a) => {
      a.movabs(rax, 0x0123456789abcdefn);
      a.hlt();
    });
    expect(guest.vcpu.run()).toBe(KVM_EXIT_HLT);
    expect(guest.vcpu.getRegs().rax).toBe(0x0123456789abcdefn);
  });

  it("CPUID says what was set", () => {
    start(64, (a) => {
      a.mov(eax, 0x4000_1000);
      a.cpuid();
      a.mov(mem("got"), ebx);
      done(a);
      a.align(4);
      a.label("got");
      a.u32(0);
    });
    const entry = { function: 0x4000_1000, index: 0, flags: 0, eax: 0, ebx: 0x6d, ecx: 0, edx: 0 };
    guest.vcpu.setCpuid([...guest.system.supportedCpuid(), entry]);
    expect(guest.run()).toBe(OK);
    expect(guest.byteAt("got")).toBe(0x6d);
  });

  it("a triple fault is a shutdown", () => {
    start(64, (a) => {
      a.lidt(mem("nothing"));
      a.ud2();
      a.label("nothing");
      a.space(10);
    });
    expect(guest.vcpu.run()).toBe(KVM_EXIT_SHUTDOWN);
  });

  it("instructions where no memory is cannot be carried out", () => {
    start(64, (a) => {
      a.mov(rbx, MEMORY_64);
      a.jmp(rbx);
    });
    expect(guest.vcpu.run()).toBe(KVM_EXIT_INTERNAL_ERROR);
    expect(guest.vcpu.internalError).toBe(KVM_INTERNAL_ERROR_EMULATION);
  });

  it("a store with a number of its own width and a counter in RAM stay inside the guest", () => {
    start(64, (a) => {
      a.mov(qword("cell"), -2);
      a.lock();
      a.inc(dword("cell"));
      done(a);
      a.align(8);
      a.label("cell");
      a.u64(0);
    });
    expect(guest.run()).toBe(OK);
    expect([0, 1, 7].map((n) => guest.byteAt("cell", n))).toEqual([0xff, 0xff, 0xff]);
  });
});
