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
import {
  kvm_coalesced_mmio_zone,
  kvm_cpuid2,
  kvm_fpu,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_lapic_state,
  kvm_mp_state,
  kvm_msi,
  kvm_msrs,
  kvm_pit_config,
  kvm_regs,
  kvm_sregs,
} from "./uapi-x86.ts";

/** Type letter of every KVM request. */
export const KVMIO = 0xae;
/** The only API version there ever was. */
export const KVM_API_VERSION = 12;

export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_NR_VCPUS = 9;
export const KVM_CAP_NR_MEMSLOTS = 10;
export const KVM_CAP_MP_STATE = 14;
/** Its value is the page of the ring in the run page area. */
export const KVM_CAP_COALESCED_MMIO = 15;
export const KVM_CAP_SYNC_MMU = 16;
export const KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21;
/** Its value is the number of routes that a VM may have. */
export const KVM_CAP_IRQ_ROUTING = 25;
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
/** Zones of ports may be coalesced too. */
export const KVM_CAP_COALESCED_PIO = 162;
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

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_EXCEPTION = 1;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HYPERCALL = 3;
export const KVM_EXIT_DEBUG = 4;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_PAPR_HCALL = 19;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IOAPIC_EOI = 26;
export const KVM_EXIT_X86_RDMSR = 29;
export const KVM_EXIT_X86_WRMSR = 30;
export const KVM_EXIT_MEMORY_FAULT = 39;

/** `kvm_run.internal.suberror`: an instruction could not be carried out. */
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_INTERNAL_ERROR_SIMUL_EX = 2;
export const KVM_INTERNAL_ERROR_DELIVERY_EV = 3;
export const KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;

/** `kvm_run.system_event.type` */
export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;

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

export interface KvmRequests {
  readonly KVM_GET_API_VERSION: number;
  readonly KVM_CREATE_VM: number;
  readonly KVM_CHECK_EXTENSION: number;
  readonly KVM_GET_VCPU_MMAP_SIZE: number;
  readonly KVM_GET_SUPPORTED_CPUID: number;
  readonly KVM_CREATE_VCPU: number;
  readonly KVM_SET_USER_MEMORY_REGION: number;
  readonly KVM_SET_TSS_ADDR: number;
  readonly KVM_SET_IDENTITY_MAP_ADDR: number;
  readonly KVM_CREATE_IRQCHIP: number;
  readonly KVM_IRQ_LINE: number;
  readonly KVM_IRQ_LINE_STATUS: number;
  readonly KVM_REGISTER_COALESCED_MMIO: number;
  readonly KVM_UNREGISTER_COALESCED_MMIO: number;
  readonly KVM_SET_GSI_ROUTING: number;
  readonly KVM_IRQFD: number;
  readonly KVM_CREATE_PIT2: number;
  readonly KVM_IOEVENTFD: number;
  readonly KVM_ENABLE_CAP: number;
  readonly KVM_SIGNAL_MSI: number;
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
  readonly KVM_GET_MSRS: number;
  readonly KVM_SET_MSRS: number;
  readonly KVM_GET_FPU: number;
  readonly KVM_SET_FPU: number;
  readonly KVM_GET_LAPIC: number;
  readonly KVM_SET_LAPIC: number;
  readonly KVM_SET_CPUID2: number;
  readonly KVM_GET_CPUID2: number;
  readonly KVM_GET_MP_STATE: number;
  readonly KVM_SET_MP_STATE: number;
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
  x86_64: { regs: kvm_regs.size, sregs: kvm_sregs.size, fpu: kvm_fpu.size },
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
    KVM_GET_SUPPORTED_CPUID: IOWR(KVMIO, 0x05, kvm_cpuid2.size),
    KVM_CREATE_VCPU: IO(KVMIO, 0x41),
    KVM_SET_USER_MEMORY_REGION: IOW(KVMIO, 0x46, kvm_userspace_memory_region.size),
    KVM_SET_TSS_ADDR: IO(KVMIO, 0x47),
    KVM_SET_IDENTITY_MAP_ADDR: IOW(KVMIO, 0x48, 8),
    KVM_CREATE_IRQCHIP: IO(KVMIO, 0x60),
    KVM_IRQ_LINE: IOW(KVMIO, 0x61, kvm_irq_level.size),
    KVM_IRQ_LINE_STATUS: IOWR(KVMIO, 0x67, kvm_irq_level.size),
    KVM_REGISTER_COALESCED_MMIO: IOW(KVMIO, 0x67, kvm_coalesced_mmio_zone.size),
    KVM_UNREGISTER_COALESCED_MMIO: IOW(KVMIO, 0x68, kvm_coalesced_mmio_zone.size),
    KVM_SET_GSI_ROUTING: IOW(KVMIO, 0x6a, kvm_irq_routing.size),
    KVM_IRQFD: IOW(KVMIO, 0x76, kvm_irqfd.size),
    KVM_CREATE_PIT2: IOW(KVMIO, 0x77, kvm_pit_config.size),
    KVM_IOEVENTFD: IOW(KVMIO, 0x79, kvm_ioeventfd.size),
    KVM_ENABLE_CAP: IOW(KVMIO, 0xa3, kvm_enable_cap.size),
    KVM_SIGNAL_MSI: IOW(KVMIO, 0xa5, kvm_msi.size),
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
    KVM_GET_MSRS: IOWR(KVMIO, 0x88, kvm_msrs.size),
    KVM_SET_MSRS: IOW(KVMIO, 0x89, kvm_msrs.size),
    KVM_GET_FPU: IOR(KVMIO, 0x8c, fpu),
    KVM_SET_FPU: IOW(KVMIO, 0x8d, fpu),
    KVM_GET_LAPIC: IOR(KVMIO, 0x8e, kvm_lapic_state.size),
    KVM_SET_LAPIC: IOW(KVMIO, 0x8f, kvm_lapic_state.size),
    KVM_SET_CPUID2: IOW(KVMIO, 0x90, kvm_cpuid2.size),
    KVM_GET_CPUID2: IOWR(KVMIO, 0x91, kvm_cpuid2.size),
    KVM_GET_MP_STATE: IOR(KVMIO, 0x98, kvm_mp_state.size),
    KVM_SET_MP_STATE: IOW(KVMIO, 0x99, kvm_mp_state.size),
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
