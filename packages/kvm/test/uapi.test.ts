import { describe, expect, it } from "vitest";
import {
  KVM_REG_PPC_LPCR,
  KVM_REG_PPC_LPCR_64,
  KVM_REG_PPC_VPA_SLB,
  kvm_coalesced_mmio,
  kvm_coalesced_mmio_ring,
  kvm_coalesced_mmio_zone,
  kvm_cpuid_entry2,
  kvm_cpuid2,
  kvm_create_device,
  kvm_device_attr,
  kvm_enable_cap,
  kvm_fpu,
  kvm_interrupt,
  kvm_ioeventfd,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_irqfd,
  kvm_lapic_state,
  kvm_mp_state,
  kvm_msi,
  kvm_msr_entry,
  kvm_msrs,
  kvm_one_reg,
  kvm_pit_config,
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

  it("has the x86 structs of asm/kvm.h and their requests", () => {
    const sizes = [
      kvm_fpu,
      kvm_cpuid2,
      kvm_cpuid_entry2,
      kvm_msrs,
      kvm_msr_entry,
      kvm_lapic_state,
      kvm_mp_state,
      kvm_pit_config,
      kvm_irq_level,
      kvm_msi,
      kvm_irq_routing,
      kvm_irq_routing_entry,
      kvm_coalesced_mmio_zone,
      kvm_coalesced_mmio,
      kvm_coalesced_mmio_ring,
    ];
    expect(Object.fromEntries(sizes.map((s) => [s.name, s.size]))).toEqual({
      kvm_fpu: 416,
      kvm_cpuid2: 8,
      kvm_cpuid_entry2: 40,
      kvm_msrs: 8,
      kvm_msr_entry: 16,
      kvm_lapic_state: 1024,
      kvm_mp_state: 4,
      kvm_pit_config: 64,
      kvm_irq_level: 8,
      kvm_msi: 32,
      kvm_irq_routing: 8,
      kvm_irq_routing_entry: 48,
      kvm_coalesced_mmio_zone: 16,
      kvm_coalesced_mmio: 24,
      kvm_coalesced_mmio_ring: 8,
    });
    const { fcw, fsw, ftwx, last_opcode, last_ip, last_dp, xmm, mxcsr } = kvm_fpu.offsets;
    expect([fcw, fsw, ftwx, last_opcode, last_ip, last_dp, xmm, mxcsr]).toEqual([
      128, 130, 132, 134, 136, 144, 152, 408,
    ]);
    expect([kvm_cpuid_entry2.offsets.edx, kvm_msr_entry.offsets.data, kvm_irq_routing_entry.offsets.u]).toEqual([
      24, 8, 16,
    ]);
    const { KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_FPU, KVM_GET_LAPIC, KVM_SET_LAPIC, ...x86 } = kvmRequests("x86_64");
    expect([KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_FPU]).toEqual([0x4090ae82, 0x8138ae83, 0x41a0ae8d]);
    expect([KVM_GET_LAPIC, KVM_SET_LAPIC]).toEqual([0x8400ae8e, 0x4400ae8f]);
    expect([x86.KVM_GET_SUPPORTED_CPUID, x86.KVM_SET_CPUID2, x86.KVM_GET_CPUID2]).toEqual([
      0xc008ae05, 0x4008ae90, 0xc008ae91,
    ]);
    expect([x86.KVM_GET_MSRS, x86.KVM_SET_MSRS]).toEqual([0xc008ae88, 0x4008ae89]);
    expect([x86.KVM_GET_MP_STATE, x86.KVM_SET_MP_STATE]).toEqual([0x8004ae98, 0x4004ae99]);
    expect([x86.KVM_SET_TSS_ADDR, x86.KVM_SET_IDENTITY_MAP_ADDR, x86.KVM_CREATE_PIT2]).toEqual([
      0xae47, 0x4008ae48, 0x4040ae77,
    ]);
    expect([x86.KVM_IRQ_LINE, x86.KVM_IRQ_LINE_STATUS, x86.KVM_SIGNAL_MSI]).toEqual([
      0x4008ae61, 0xc008ae67, 0x4020aea5,
    ]);
    expect([x86.KVM_REGISTER_COALESCED_MMIO, x86.KVM_UNREGISTER_COALESCED_MMIO]).toEqual([0x4010ae67, 0x4010ae68]);
    expect(x86.KVM_SET_GSI_ROUTING).toBe(0x4008ae6a);
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
