// The x86 part of the KVM ABI: registers, CPUID, MSRs, local APIC, interrupt routing, timer.
// Sources: arch/x86/include/uapi/asm/kvm.h, include/uapi/linux/kvm.h of Linux 6.12. Structs that other architectures have
// too (routing, messages, coalesced writes) are here, since x86 alone uses them in this package.
// Structs that end in an array have its element as a struct of its own; the array follows the head without a gap.

import { array, bytes, pad, struct, u8, u16, u32, u64 } from "@minivmm/host";

export const KVM_CAP_SET_TSS_ADDR = 4;
export const KVM_CAP_EXT_CPUID = 7;
export const KVM_CAP_PIT2 = 33;
export const KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
export const KVM_CAP_TSC_DEADLINE_TIMER = 72;
export const KVM_CAP_SPLIT_IRQCHIP = 121;
export const KVM_CAP_X2APIC_API = 129;
export const KVM_CAP_X86_USER_SPACE_MSR = 188;
export const KVM_CAP_DISABLE_QUIRKS2 = 213;

/** Arguments of KVM_CAP_X2APIC_API: routes and messages have 32-bit APIC ids; 0xff is no broadcast. */
export const KVM_X2APIC_API_USE_32BIT_IDS = 1n;
export const KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK = 2n;

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

/** `struct kvm_fpu` (x86). */
export const kvm_fpu = struct("kvm_fpu", {
  fpr: bytes(128),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: pad(1),
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: bytes(256),
  mxcsr: u32,
  pad2: pad(4),
});

/** Followed by `nent` of kvm_cpuid_entry2. */
export const kvm_cpuid2 = struct("kvm_cpuid2", { nent: u32, padding: pad(4) });
export const kvm_cpuid_entry2 = struct("kvm_cpuid_entry2", {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: pad(12),
});
/** `kvm_cpuid_entry2.flags`: the entry is for this `index` only. */
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;

/** Followed by `nmsrs` of kvm_msr_entry. */
export const kvm_msrs = struct("kvm_msrs", { nmsrs: u32, pad: pad(4) });
export const kvm_msr_entry = struct("kvm_msr_entry", { index: u32, reserved: pad(4), data: u64 });

export const kvm_lapic_state = struct("kvm_lapic_state", { regs: bytes(0x400) });

export const kvm_mp_state = struct("kvm_mp_state", { mp_state: u32 });
export const KVM_MP_STATE_RUNNABLE = 0;
export const KVM_MP_STATE_UNINITIALIZED = 1;
export const KVM_MP_STATE_INIT_RECEIVED = 2;
export const KVM_MP_STATE_HALTED = 3;
export const KVM_MP_STATE_SIPI_RECEIVED = 4;

export const kvm_pit_config = struct("kvm_pit_config", { flags: u32, pad: pad(60) });
/** The kernel answers port 0x61. */
export const KVM_PIT_SPEAKER_DUMMY = 1;

/** `irq` is a GSI. */
export const kvm_irq_level = struct("kvm_irq_level", { irq: u32, level: u32 });

export const kvm_msi = struct("kvm_msi", {
  address_lo: u32,
  address_hi: u32,
  data: u32,
  flags: u32,
  devid: u32,
  pad: pad(12),
});
/** In `kvm_msi.flags` and in the flags of a message route; x86 does not look at `devid`. */
export const KVM_MSI_VALID_DEVID = 1;

/** Followed by `nr` of kvm_irq_routing_entry. */
export const kvm_irq_routing = struct("kvm_irq_routing", { nr: u32, flags: u32 });
/** `u` has the words of kvm_irq_routing_irqchip (chip, pin) or kvm_irq_routing_msi (address_lo, address_hi, data, devid). */
export const kvm_irq_routing_entry = struct("kvm_irq_routing_entry", {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: pad(4),
  u: array(u32, 8),
});
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
/** A GSI is below this, and a table has no more entries. */
export const KVM_MAX_IRQ_ROUTES = 4096;

export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
export const KVM_IOAPIC_NUM_PINS = 24;

/** `pio`: 1 for ports, 0 for memory. */
export const kvm_coalesced_mmio_zone = struct("kvm_coalesced_mmio_zone", { addr: u64, size: u32, pio: u32 });
/** One write in the ring; `data` has `len` bytes. */
export const kvm_coalesced_mmio = struct("kvm_coalesced_mmio", { phys_addr: u64, len: u32, pio: u32, data: bytes(8) });
/** Head of the ring: the reader's and the kernel's index; followed by entries of kvm_coalesced_mmio to the page's end. */
export const kvm_coalesced_mmio_ring = struct("kvm_coalesced_mmio_ring", { first: u32, last: u32 });
