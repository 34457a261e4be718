// The few KVM numbers and structs that the tests of the real host need. Source: linux/kvm.h on x86_64.

import { array, ioctlNumbers, pad, struct, u8, u16, u32, u64 } from "../../src/index.ts";

const { IO, IOR, IOW } = ioctlNumbers("x86_64");
const KVMIO = 0xae;

export const kvm_userspace_memory_region = struct("kvm_userspace_memory_region", {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});

const kvm_segment = struct("kvm_segment", {
  base: u64,
  limit: u32,
  selector: u16,
  attributes: array(u8, 9),
  padding: pad(1),
});
const kvm_dtable = struct("kvm_dtable", { base: u64, limit: u16, padding: pad(6) });

/** cs comes first; the rest is kept as KVM_GET_SREGS gave it. */
export const kvm_sregs = struct("kvm_sregs", {
  cs: kvm_segment,
  others: array(kvm_segment, 7),
  gdt: kvm_dtable,
  idt: kvm_dtable,
  cr: array(u64, 5),
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: array(u64, 4),
});

/** rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15, rip, rflags. */
export const kvm_regs = struct("kvm_regs", { general: array(u64, 16), rip: u64, rflags: u64 });

export const KVM_GET_API_VERSION = IO(KVMIO, 0x00);
export const KVM_CREATE_VM = IO(KVMIO, 0x01);
export const KVM_CHECK_EXTENSION = IO(KVMIO, 0x03);
export const KVM_GET_VCPU_MMAP_SIZE = IO(KVMIO, 0x04);
export const KVM_CREATE_VCPU = IO(KVMIO, 0x41);
export const KVM_SET_USER_MEMORY_REGION = IOW(KVMIO, 0x46, kvm_userspace_memory_region.size);
export const KVM_RUN = IO(KVMIO, 0x80);
export const KVM_GET_REGS = IOR(KVMIO, 0x81, kvm_regs.size);
export const KVM_SET_REGS = IOW(KVMIO, 0x82, kvm_regs.size);
export const KVM_GET_SREGS = IOR(KVMIO, 0x83, kvm_sregs.size);
export const KVM_SET_SREGS = IOW(KVMIO, 0x84, kvm_sregs.size);

export const KVM_CAP_USER_MEMORY = 3;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HLT = 5;

/** Byte offsets in struct kvm_run. */
export const RUN = {
  exit_reason: 8,
  io_direction: 32,
  io_size: 33,
  io_port: 34,
  io_count: 36,
  io_data_offset: 40,
} as const;
