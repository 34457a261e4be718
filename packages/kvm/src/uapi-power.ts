// The powerpc part of the KVM ABI: registers, MMU configuration, interrupts, and ids of single registers.
// Sources: arch/powerpc/include/uapi/asm/kvm.h, include/uapi/linux/kvm.h of Linux 6.12.
// `struct kvm_regs` and `struct kvm_sregs` have other fields on each architecture; here they carry "power" in their name.

import { array, bytes, pad, struct, u8, u32, u64 } from "@minivmm/host";

export const KVM_CAP_PPC_SEGSTATE = 43;
export const KVM_CAP_PPC_UNSET_IRQ = 53;
export const KVM_CAP_PPC_IRQ_LEVEL = 58;
export const KVM_CAP_PPC_SMT = 64;
export const KVM_CAP_PPC_HIOR = 67;
export const KVM_CAP_PPC_FIXUP_HCALL = 103;
export const KVM_CAP_PPC_MMU_RADIX = 134;
export const KVM_CAP_PPC_MMU_HASH_V3 = 135;
export const KVM_CAP_PPC_GET_CPU_CHAR = 151;
export const KVM_CAP_PPC_NESTED_HV = 160;
export const KVM_CAP_PPC_RPT_INVALIDATE = 202;
export const KVM_CAP_PPC_AIL_MODE_3 = 210;

/** VM types of KVM_CREATE_VM. */
export const KVM_VM_PPC_HV = 1;
export const KVM_VM_PPC_PR = 2;

/** Values of `kvm_interrupt.irq`. SET ends when the guest has taken the interrupt, SET_LEVEL with UNSET. */
export const KVM_INTERRUPT_SET = 0xffff_ffff;
export const KVM_INTERRUPT_UNSET = 0xffff_fffe;
export const KVM_INTERRUPT_SET_LEVEL = 0xffff_fffd;
export const kvm_interrupt = struct("kvm_interrupt", { irq: u32 });

/** `struct kvm_regs` (powerpc). */
export const kvm_power_regs = struct("kvm_regs", {
  pc: u64,
  cr: u64,
  ctr: u64,
  lr: u64,
  xer: u64,
  msr: u64,
  srr0: u64,
  srr1: u64,
  pid: u64,
  sprg: array(u64, 8),
  gpr: array(u64, 32),
});

export const kvm_power_slb = struct("kvm_sregs.u.s.ppc64.slb", { slbe: u64, slbv: u64 });

/** `struct kvm_sregs` (powerpc), seen as a Book3S 64 processor fills it. */
export const kvm_power_sregs = struct("kvm_sregs", {
  pvr: u32,
  sdr1: u64,
  slb: array(kvm_power_slb, 64),
  ppc32: bytes(192),
});

/** `process_table` is the second doubleword of a partition table entry. */
export const kvm_ppc_mmuv3_cfg = struct("kvm_ppc_mmuv3_cfg", { flags: u64, process_table: u64 });
export const KVM_PPC_MMUV3_RADIX = 1n;
export const KVM_PPC_MMUV3_GTSE = 2n;
/** In `process_table`: the guest translates by radix tree, base and log2(size) - 12 of its process table. */
export const PATB_GR = 1n << 63n;
export const PRTB_MASK = 0x0fff_ffff_ffff_f000n;
export const PRTS_MASK = 0x1fn;

export const kvm_ppc_radix_geom = struct("kvm_ppc_radix_geom", {
  page_shift: u8,
  level_bits: array(u8, 4),
  pad: pad(3),
});
export const kvm_ppc_rmmu_info = struct("kvm_ppc_rmmu_info", {
  geometries: array(kvm_ppc_radix_geom, 8),
  ap_encodings: array(u32, 8),
});

export const kvm_ppc_cpu_char = struct("kvm_ppc_cpu_char", {
  character: u64,
  behaviour: u64,
  character_mask: u64,
  behaviour_mask: u64,
});

/** Offsets in struct kvm_run of what KVM_EXIT_PAPR_HCALL carries. */
export const PAPR_HCALL_NR = 32;
export const PAPR_HCALL_RET = 40;
export const PAPR_HCALL_ARGS = 48;
/** r4 to r12. */
export const PAPR_HCALL_ARG_COUNT = 9;

const KVM_REG_PPC = 0x1000n << 48n;
export const KVM_REG_PPC_TM = 0x8000_0000n;
/** log2 of a register's bytes sits at this bit of its id. */
export const KVM_REG_SIZE_SHIFT = 52n;

/** The id of a register of 4, 8 or 16 bytes. */
export function powerRegister(number: number | bigint, size: 4 | 8 | 16 = 8): bigint {
  return KVM_REG_PPC | (BigInt(Math.log2(size)) << KVM_REG_SIZE_SHIFT) | BigInt(number);
}

/** Bytes of the register that an id names. */
export function registerBytes(id: bigint): number {
  return 2 ** Number((id >> KVM_REG_SIZE_SHIFT) & 15n);
}

export const KVM_REG_PPC_DAR = powerRegister(0x0c);
export const KVM_REG_PPC_DSISR = powerRegister(0x0d, 4);
export const KVM_REG_PPC_AMR = powerRegister(0x0e);
export const KVM_REG_PPC_VPA_ADDR = powerRegister(0x82);
export const KVM_REG_PPC_VPA_SLB = powerRegister(0x83, 16);
export const KVM_REG_PPC_VPA_DTL = powerRegister(0x84, 16);
export const KVM_REG_PPC_ICP_STATE = powerRegister(0x8c);
export const KVM_REG_PPC_TB_OFFSET = powerRegister(0x9c);
export const KVM_REG_PPC_FSCR = powerRegister(0xa3);
/** Instructions that the guest has completed. */
export const KVM_REG_PPC_IC = powerRegister(0xad);
export const KVM_REG_PPC_PID = powerRegister(0xb2);
/** The 32-bit id leaves the upper half of LPCR alone when it is set. */
export const KVM_REG_PPC_LPCR = powerRegister(0xb5, 4);
export const KVM_REG_PPC_LPCR_64 = powerRegister(0xb5);
export const KVM_REG_PPC_ARCH_COMPAT = powerRegister(0xb7, 4);
/** Guest time base at which the decrementer's interrupt is due. */
export const KVM_REG_PPC_DEC_EXPIRY = powerRegister(0xbe);
export const KVM_REG_PPC_ONLINE = powerRegister(0xbf, 4);

/** LPCR: interrupts little-endian; alternate interrupt location (3: relocation stays on). */
export const LPCR_ILE = 0x0200_0000n;
export const LPCR_AIL = 0x0180_0000n;
export const LPCR_AIL_3 = 0x0180_0000n;
