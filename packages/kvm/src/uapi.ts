// The KVM user ABI: request numbers, capabilities and structs under their C names.
// Sources: include/uapi/linux/kvm.h and arch/{x86,powerpc}/include/uapi/asm/kvm.h of Linux 6.12.
// Invariant: request numbers are computed for an architecture, because powerpc packs direction bits differently.

import { type Arch, array, bytes, ioctlNumbers, pad, s16, s32, struct, u8, u16, u32, u64 } from "@minivmm/host";
import {
  kvm_power_regs,
  kvm_power_sregs,
  kvm_ppc_cpu_char,
  kvm_ppc_mmuv3_cfg,
  kvm_ppc_rmmu_info,
} from "./uapi-power.ts";

/** Type letter of every KVM request. */
export const KVMIO = 0xae;
/** The only API version there ever was. */
export const KVM_API_VERSION = 12;

export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_NR_VCPUS = 9;
export const KVM_CAP_NR_MEMSLOTS = 10;
export const KVM_CAP_SYNC_MMU = 16;
export const KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21;
export const KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30;
export const KVM_CAP_IRQFD = 32;
export const KVM_CAP_IOEVENTFD = 36;
export const KVM_CAP_ENABLE_CAP = 54;
export const KVM_CAP_SPAPR_TCE = 63;
export const KVM_CAP_MAX_VCPUS = 66;
export const KVM_CAP_PPC_PAPR = 68;
export const KVM_CAP_ONE_REG = 70;
export const KVM_CAP_SIGNAL_MSI = 77;
export const KVM_CAP_READONLY_MEM = 81;
export const KVM_CAP_IRQFD_RESAMPLE = 82;
export const KVM_CAP_DEVICE_CTRL = 89;
export const KVM_CAP_SPAPR_MULTITCE = 94;
export const KVM_CAP_ENABLE_CAP_VM = 98;
export const KVM_CAP_PPC_ENABLE_HCALL = 104;
export const KVM_CAP_CHECK_EXTENSION_VM = 105;
export const KVM_CAP_SPAPR_TCE_64 = 125;
export const KVM_CAP_MAX_VCPU_ID = 128;
export const KVM_CAP_IMMEDIATE_EXIT = 136;
export const KVM_CAP_SPAPR_TCE_VFIO = 142;
export const KVM_CAP_BINARY_STATS_FD = 203;

export const KVM_DEV_TYPE_VFIO = 4;
/** `kvm_create_device.flags`: only ask whether the type exists. */
export const KVM_CREATE_DEVICE_TEST = 1;

export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;

export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IRQFD_FLAG_RESAMPLE = 2;

export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;

export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_PAPR_HCALL = 19;
export const KVM_EXIT_SYSTEM_EVENT = 24;

/** `kvm_run.internal.suberror`: an instruction could not be carried out. */
export const KVM_INTERNAL_ERROR_EMULATION = 1;

export const kvm_userspace_memory_region = struct("kvm_userspace_memory_region", {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});

export const kvm_irqfd = struct("kvm_irqfd", { fd: u32, gsi: u32, flags: u32, resamplefd: u32, pad: pad(16) });

export const kvm_ioeventfd = struct("kvm_ioeventfd", {
  datamatch: u64,
  addr: u64,
  len: u32,
  fd: s32,
  flags: u32,
  pad: pad(36),
});

export const kvm_create_device = struct("kvm_create_device", { type: u32, fd: u32, flags: u32 });

export const kvm_device_attr = struct("kvm_device_attr", { flags: u32, group: u32, attr: u64, addr: u64 });

export const kvm_enable_cap = struct("kvm_enable_cap", { cap: u32, flags: u32, args: array(u64, 4), pad: bytes(64) });

/** The fixed head of the run page that each vCPU shares with its user; the union starts at offset 32. */
export const kvm_run_head = struct("kvm_run", {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: pad(6),
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
});

/** The register `id` (KVM_REG_*) has its value at user address `addr`; its size is in the id. */
export const kvm_one_reg = struct("kvm_one_reg", { id: u64, addr: u64 });

/** Head of a statistics descriptor (KVM_GET_STATS_FD). */
export const kvm_stats_header = struct("kvm_stats_header", {
  flags: u32,
  name_size: u32,
  num_desc: u32,
  id_offset: u32,
  desc_offset: u32,
  data_offset: u32,
});

/** Followed by `kvm_stats_header.name_size` bytes of name. */
export const kvm_stats_desc = struct("kvm_stats_desc", {
  flags: u32,
  exponent: s16,
  size: u16,
  offset: u32,
  bucket_size: u32,
});

/** x86 registers, `struct kvm_regs`. */
export const kvm_regs = struct("kvm_regs", {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

/** `struct kvm_segment` (x86). */
export const kvm_segment = struct("kvm_segment", {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: pad(1),
});

/** `struct kvm_dtable` (x86). */
export const kvm_dtable = struct("kvm_dtable", { base: u64, limit: u16, padding: pad(6) });

/** `struct kvm_sregs` (x86). */
export const kvm_sregs = struct("kvm_sregs", {
  cs: kvm_segment,
  ds: kvm_segment,
  es: kvm_segment,
  fs: kvm_segment,
  gs: kvm_segment,
  ss: kvm_segment,
  tr: kvm_segment,
  ldt: kvm_segment,
  gdt: kvm_dtable,
  idt: kvm_dtable,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: array(u64, 4),
});

export interface KvmRequests {
  readonly KVM_GET_API_VERSION: number;
  readonly KVM_CREATE_VM: number;
  readonly KVM_CHECK_EXTENSION: number;
  readonly KVM_GET_VCPU_MMAP_SIZE: number;
  readonly KVM_CREATE_VCPU: number;
  readonly KVM_SET_USER_MEMORY_REGION: number;
  readonly KVM_CREATE_IRQCHIP: number;
  readonly KVM_IRQFD: number;
  readonly KVM_IOEVENTFD: number;
  readonly KVM_ENABLE_CAP: number;
  readonly KVM_CREATE_DEVICE: number;
  readonly KVM_SET_DEVICE_ATTR: number;
  readonly KVM_GET_DEVICE_ATTR: number;
  readonly KVM_HAS_DEVICE_ATTR: number;
  readonly KVM_RUN: number;
  readonly KVM_GET_REGS: number;
  readonly KVM_SET_REGS: number;
  readonly KVM_GET_SREGS: number;
  readonly KVM_SET_SREGS: number;
  readonly KVM_INTERRUPT: number;
  readonly KVM_GET_FPU: number;
  readonly KVM_SET_FPU: number;
  readonly KVM_GET_ONE_REG: number;
  readonly KVM_SET_ONE_REG: number;
  readonly KVM_PPC_CONFIGURE_V3_MMU: number;
  readonly KVM_PPC_GET_RMMU_INFO: number;
  readonly KVM_PPC_GET_CPU_CHAR: number;
  readonly KVM_GET_STATS_FD: number;
}

const cache = new Map<Arch, KvmRequests>();

/** Sizes of the structs that every architecture has its own of. */
const REGISTERS: Readonly<Record<Arch, { regs: number; sregs: number; fpu: number }>> = {
  x86_64: { regs: kvm_regs.size, sregs: kvm_sregs.size, fpu: 416 },
  ppc64le: { regs: kvm_power_regs.size, sregs: kvm_power_sregs.size, fpu: 256 },
};

/** Request numbers of `arch`. */
export function kvmRequests(arch: Arch): KvmRequests {
  const known = cache.get(arch);
  if (known) return known;
  const { IO, IOR, IOW, IOWR } = ioctlNumbers(arch);
  const { regs, sregs, fpu } = REGISTERS[arch];
  const made: KvmRequests = {
    KVM_GET_API_VERSION: IO(KVMIO, 0x00),
    KVM_CREATE_VM: IO(KVMIO, 0x01),
    KVM_CHECK_EXTENSION: IO(KVMIO, 0x03),
    KVM_GET_VCPU_MMAP_SIZE: IO(KVMIO, 0x04),
    KVM_CREATE_VCPU: IO(KVMIO, 0x41),
    KVM_SET_USER_MEMORY_REGION: IOW(KVMIO, 0x46, kvm_userspace_memory_region.size),
    KVM_CREATE_IRQCHIP: IO(KVMIO, 0x60),
    KVM_IRQFD: IOW(KVMIO, 0x76, kvm_irqfd.size),
    KVM_IOEVENTFD: IOW(KVMIO, 0x79, kvm_ioeventfd.size),
    KVM_ENABLE_CAP: IOW(KVMIO, 0xa3, kvm_enable_cap.size),
    KVM_CREATE_DEVICE: IOWR(KVMIO, 0xe0, kvm_create_device.size),
    KVM_SET_DEVICE_ATTR: IOW(KVMIO, 0xe1, kvm_device_attr.size),
    KVM_GET_DEVICE_ATTR: IOW(KVMIO, 0xe2, kvm_device_attr.size),
    KVM_HAS_DEVICE_ATTR: IOW(KVMIO, 0xe3, kvm_device_attr.size),
    KVM_RUN: IO(KVMIO, 0x80),
    KVM_GET_REGS: IOR(KVMIO, 0x81, regs),
    KVM_SET_REGS: IOW(KVMIO, 0x82, regs),
    KVM_GET_SREGS: IOR(KVMIO, 0x83, sregs),
    KVM_SET_SREGS: IOW(KVMIO, 0x84, sregs),
    KVM_INTERRUPT: IOW(KVMIO, 0x86, 4),
    KVM_GET_FPU: IOR(KVMIO, 0x8c, fpu),
    KVM_SET_FPU: IOW(KVMIO, 0x8d, fpu),
    KVM_GET_ONE_REG: IOW(KVMIO, 0xab, kvm_one_reg.size),
    KVM_SET_ONE_REG: IOW(KVMIO, 0xac, kvm_one_reg.size),
    KVM_PPC_CONFIGURE_V3_MMU: IOW(KVMIO, 0xaf, kvm_ppc_mmuv3_cfg.size),
    KVM_PPC_GET_RMMU_INFO: IOW(KVMIO, 0xb0, kvm_ppc_rmmu_info.size),
    KVM_PPC_GET_CPU_CHAR: IOR(KVMIO, 0xb1, kvm_ppc_cpu_char.size),
    KVM_GET_STATS_FD: IO(KVMIO, 0xce),
  };
  cache.set(arch, made);
  return made;
}
