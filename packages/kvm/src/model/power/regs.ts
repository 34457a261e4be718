// KVM_GET_REGS, KVM_SET_REGS and the SREGS pair: the CPU's registers as structs.
// Source: arch/powerpc/kvm/book3s.c (kvm_arch_vcpu_ioctl_get_regs), book3s_hv.c (..._sregs_hv, kvmppc_set_msr_hv).
// Invariants: a guest always runs with MSR[ME] set and MSR[HV] clear; SET_REGS leaves PID alone; the PVR is the host's.

import { EINVAL, type StructValue } from "@minivmm/host";
import { type kvm_power_regs, kvm_power_slb, type kvm_power_sregs } from "../../uapi-power.ts";
import type { PowerCpu } from "./engine.ts";

const SPR_SRR0 = 26;
const SPR_SRR1 = 27;
const SPR_PIDR = 48;
const SPR_SPRG0 = 272;
const SPR_PVR = 287;
const MSR_ME = 0x1000n;
const MSR_HV = 1n << 60n;
/** SPRG0 to 3 are the CPU's; 4 to 7 are kept for user space only. */
const CPU_SPRGS = 4;
const SLB_VALID = 1n << 27n;

type Regs = StructValue<typeof kvm_power_regs>;
type Sregs = StructValue<typeof kvm_power_sregs>;

export function readRegs(cpu: PowerCpu, sprg: readonly bigint[]): Regs {
  return {
    pc: cpu.pc,
    cr: BigInt(cpu.cr),
    ctr: cpu.ctr,
    lr: cpu.lr,
    xer: BigInt(cpu.xer),
    msr: cpu.msr,
    srr0: cpu.spr(SPR_SRR0),
    srr1: cpu.spr(SPR_SRR1),
    pid: cpu.spr(SPR_PIDR),
    sprg: sprg.map((kept, n) => (n < CPU_SPRGS ? cpu.spr(SPR_SPRG0 + n) : kept)),
    gpr: [...cpu.gpr64],
  };
}

export function writeRegs(cpu: PowerCpu, sprg: bigint[], regs: Regs): void {
  cpu.pc = regs.pc;
  cpu.cr = Number(regs.cr & 0xffff_ffffn);
  cpu.ctr = regs.ctr;
  cpu.lr = regs.lr;
  cpu.xer = Number(regs.xer & 0xffff_ffffn);
  cpu.msr = guestMsr(regs.msr);
  cpu.setSpr(SPR_SRR0, regs.srr0);
  cpu.setSpr(SPR_SRR1, regs.srr1);
  regs.sprg.forEach((value, n) => {
    if (n < CPU_SPRGS) cpu.setSpr(SPR_SPRG0 + n, value);
    else sprg[n] = value;
  });
  cpu.gpr64.set(regs.gpr);
}

export function guestMsr(msr: bigint): bigint {
  return (msr | MSR_ME) & ~MSR_HV;
}

/** `slb` keeps the valid entries that user space has set, for reading back. */
export function readSregs(cpu: PowerCpu, slb: Sregs["slb"]): Sregs {
  const padded = Array.from({ length: 64 }, (_, n) => slb[n] ?? kvm_power_slb.zero());
  return { pvr: Number(cpu.spr(SPR_PVR)), sdr1: 0n, slb: padded, ppc32: new Uint8Array(192) };
}

/** 0, or -EINVAL for another processor version. */
export function writeSregs(cpu: PowerCpu, slb: Sregs["slb"], sregs: Sregs): number {
  if (BigInt(sregs.pvr) !== cpu.spr(SPR_PVR)) return -EINVAL;
  slb.splice(0, slb.length, ...sregs.slb.slice(0, 32).filter(({ slbe }) => (slbe & SLB_VALID) !== 0n));
  return 0;
}
