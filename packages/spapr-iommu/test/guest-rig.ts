// A guest on a CPU whose hypercalls go to real mode first, as under KVM: its memory is the CPU's RAM in place.
import { allocateGuestRam, Cpu, ExitReason } from "@minivmm/ppc64";
import { Assembler, r3, r4, r5, r6, r7 } from "@minivmm/ppc64/asm";
import { type KvmRigOptions, LIOBN, MEMORY, vfioRig } from "./kvm-rig.ts";

const CODE = 0x1000;
const REAL = 0x8000000000000001n;

/** No hypercall has this number: it ends the guest's program. */
const END = 0xf000;

export function guestRig(options: KvmRigOptions = {}) {
  const ram = allocateGuestRam({ ramBytes: MEMORY, decodePages: 16 });
  const memory = new Uint8Array(ram.memory.buffer, ram.ramOffset, MEMORY);
  const made = vfioRig({ realMode: true, ...options, memory });
  const cpu = Cpu.create({ ram });
  const window = made.table();
  made.link(window);
  made.register();
  const stage = made.kvm.realMode?.(made.model);
  if (!stage) throw new Error("no real mode");
  const answered = stage.enter(cpu.compiled);

  /** Runs a program to its end; returns how often it left the CPU before. */
  function run(write: (a: Assembler) => void): number {
    stage?.prepare();
    const a = new Assembler({ origin: CODE });
    write(a);
    a.li64(r3, END);
    a.sc(1);
    memory.set(a.bytes(), CODE);
    cpu.flushTlb();
    cpu.pc = BigInt(CODE);
    cpu.msr = REAL;
    for (let exits = 0; ; exits++) {
      while (cpu.run(1_000_000_000) !== ExitReason.hcall);
      if (cpu.gpr32[6] === END) return exits;
      const result = made.model.hypercalls.call(cpu.gpr32);
      cpu.gpr64[3] = BigInt.asUintN(64, BigInt(result));
    }
  }
  return { ...made, window, cpu, answered, run };
}

/** A call with constant arguments. */
export function ask(a: Assembler, nr: number, ...args: (bigint | number)[]): void {
  a.li64(r3, nr);
  a.li64(r4, LIOBN);
  for (const [n, value] of args.entries()) a.li64([r5, r6, r7][n] as typeof r5, BigInt(value));
  a.sc(1);
}
