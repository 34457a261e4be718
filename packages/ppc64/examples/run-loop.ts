// Assembles a small program, runs it on the CPU engine and answers its hypercalls.
import { Cpu, ExitReason } from "@minivmm/ppc64";
import { Assembler, r3, r4, r5 } from "@minivmm/ppc64/asm";

const ORIGIN = 0x10000;
const a = new Assembler({ origin: ORIGIN });
a.li(r3, 0);
a.li(r4, 100);
a.mtctr(r4);
a.label("loop");
a.add(r3, r3, r4);
a.addi(r4, r4, -1);
a.bdnz("loop");
a.sc(1); // hypercall: hand the sum to the host
a.li64(r5, 0x200080000000n);
a.lwz(r4, 0x10, r5); // a device register, far outside of RAM
a.sc(1);

const cpu = Cpu.create({ ramBytes: 1 << 20 });
new Uint8Array(cpu.memory.buffer, cpu.ramOffset, cpu.ramBytes).set(a.bytes(), ORIGIN);
cpu.pc = BigInt(ORIGIN);
cpu.msr = 0x8000000000000001n; // 64-bit, little-endian, real mode

for (let hypercalls = 0; hypercalls < 2; ) {
  const reason = cpu.run(1_000_000);
  if (reason === ExitReason.hcall) {
    hypercalls++;
    console.log(`hypercall: r3 = ${cpu.gpr(3)}, r4 = ${cpu.gpr(4)}`);
  } else if (reason === ExitReason.mmio) {
    console.log(`device read of ${cpu.exit.size} bytes at 0x${cpu.exit.gpa.toString(16)}`);
    cpu.completeMmio(42, 0);
  } else {
    throw new Error(`unexpected exit ${reason}: ${cpu.exit.message}`);
  }
}
console.log(`${cpu.retired} instructions`);
