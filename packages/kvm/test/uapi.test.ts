import { describe, expect, it } from "vitest";
import {
  KVM_REG_PPC_LPCR,
  KVM_REG_PPC_LPCR_64,
  KVM_REG_PPC_VPA_SLB,
  kvm_create_device,
  kvm_device_attr,
  kvm_enable_cap,
  kvm_interrupt,
  kvm_ioeventfd,
  kvm_irqfd,
  kvm_one_reg,
  kvm_power_regs,
  kvm_power_sregs,
  kvm_ppc_cpu_char,
  kvm_ppc_mmuv3_cfg,
  kvm_ppc_rmmu_info,
  kvm_regs,
  kvm_run_head,
  kvm_sregs,
  kvm_stats_desc,
  kvm_stats_header,
  kvm_userspace_memory_region,
  kvmRequests,
  registerBytes,
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

  it("has the structs of powerpc's asm/kvm.h, and requests of their size", () => {
    expect([kvm_power_regs.size, kvm_power_regs.offsets.pid, kvm_power_regs.offsets.gpr]).toEqual([392, 64, 136]);
    expect([kvm_power_sregs.size, kvm_power_sregs.offsets.sdr1, kvm_power_sregs.offsets.slb]).toEqual([1232, 8, 16]);
    expect([kvm_ppc_mmuv3_cfg.size, kvm_ppc_rmmu_info.size, kvm_ppc_cpu_char.size]).toEqual([16, 96, 32]);
    expect([kvm_one_reg.size, kvm_interrupt.size, kvm_stats_header.size, kvm_stats_desc.size]).toEqual([16, 4, 24, 16]);
    const ppc = kvmRequests("ppc64le");
    expect(ppc.KVM_RUN).toBe(0x2000ae80);
    expect(ppc.KVM_GET_REGS).toBe(0x4188ae81);
    expect(ppc.KVM_SET_SREGS).toBe(0x84d0ae84);
    expect(ppc.KVM_INTERRUPT).toBe(0x8004ae86);
    expect(ppc.KVM_SET_ONE_REG).toBe(0x8010aeac);
    expect(ppc.KVM_PPC_CONFIGURE_V3_MMU).toBe(0x8010aeaf);
    expect(ppc.KVM_PPC_GET_CPU_CHAR).toBe(0x4020aeb1);
    expect(ppc.KVM_GET_STATS_FD).toBe(0x2000aece);
    expect(KVM_REG_PPC_LPCR_64).toBe(0x1030_0000_0000_00b5n);
    expect(KVM_REG_PPC_VPA_SLB).toBe(0x1040_0000_0000_0083n);
    expect([registerBytes(KVM_REG_PPC_LPCR), registerBytes(KVM_REG_PPC_VPA_SLB)]).toEqual([4, 16]);
  });
});
