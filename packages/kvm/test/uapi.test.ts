import { describe, expect, it } from "vitest";
import {
  kvm_create_device,
  kvm_device_attr,
  kvm_enable_cap,
  kvm_ioeventfd,
  kvm_irqfd,
  kvm_regs,
  kvm_run_head,
  kvm_sregs,
  kvm_userspace_memory_region,
  kvmRequests,
} from "../src/index.ts";

describe("kvm ABI", () => {
  it("has the struct sizes of linux/kvm.h", () => {
    const sizes = [
      kvm_userspace_memory_region,
      kvm_irqfd,
      kvm_ioeventfd,
      kvm_create_device,
      kvm_device_attr,
      kvm_enable_cap,
      kvm_regs,
      kvm_sregs,
    ];
    expect(sizes.map((s) => [s.name, s.size])).toEqual([
      ["kvm_userspace_memory_region", 32],
      ["kvm_irqfd", 32],
      ["kvm_ioeventfd", 64],
      ["kvm_create_device", 12],
      ["kvm_device_attr", 24],
      ["kvm_enable_cap", 104],
      ["kvm_regs", 144],
      ["kvm_sregs", 312],
    ]);
    expect(kvm_run_head.size).toBe(32);
    expect(kvm_run_head.offsets.exit_reason).toBe(8);
  });

  it("has the request numbers of both architectures", () => {
    const x86 = kvmRequests("x86_64");
    expect(x86.KVM_GET_API_VERSION).toBe(0xae00);
    expect(x86.KVM_SET_USER_MEMORY_REGION).toBe(0x4020ae46);
    expect(x86.KVM_IRQFD).toBe(0x4020ae76);
    expect(x86.KVM_IOEVENTFD).toBe(0x4040ae79);
    expect(x86.KVM_CREATE_DEVICE).toBe(0xc00caee0);
    expect(x86.KVM_ENABLE_CAP).toBe(0x4068aea3);
    expect(x86.KVM_SET_SREGS).toBe(0x4138ae84);
    const ppc = kvmRequests("ppc64le");
    expect(ppc.KVM_CREATE_DEVICE).toBe(0xc00caee0);
    expect(ppc.KVM_SET_DEVICE_ATTR).toBe(0x8018aee1);
    expect(ppc.KVM_HAS_DEVICE_ATTR).toBe(0x8018aee3);
  });
});
