// Makes a modelled KVM run POWER guests: capabilities, vCPUs, hypercalls and VM requests of HV KVM on a radix POWER9.
// Source: arch/powerpc/kvm/powerpc.c (kvm_vm_ioctl_check_extension, kvm_arch_vm_ioctl), book3s_64_mmu_radix.c
// (kvmhv_get_rmmu_info), virt/kvm/kvm_main.c (kvm_vm_ioctl_create_vcpu).
// Invariant: a capability is advertised exactly when it is there; what a real host has beyond that (hash page tables, an
// interrupt controller in the kernel, nested guests, debugging) answers 0.

import { EFAULT, EINVAL } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import * as uapi from "../../uapi.ts";
import { H_RPT_INVALIDATE } from "../../uapi-papr.ts";
import * as power from "../../uapi-power.ts";
import type { Vm, VmIoctl } from "../frame.ts";
import type { ModelKvm } from "../kvm.ts";
import { statsFile } from "../stats.ts";
import type { PowerEngineFactory } from "./engine.ts";
import { paprHypercalls } from "./papr.ts";
import { PowerVcpu } from "./vcpu.ts";
import { powerVm } from "./vm.ts";

/** CONFIG_NR_CPUS of distribution kernels, and threads of a core. */
const MAX_VCPUS = 2048;
const MAX_VCPU_IDS = MAX_VCPUS * 8;
/** Bits of each level below the root, and AP << 29 | page shift of 4K, 64K, 2M and 1G. */
const RADIX_BITS = [5, 9, 9, 13];
const RADIX_BITS_4K = [9, 9, 9, 13];
const AP_ENCODINGS = [0x0000_000c, 0xa000_0010, 0x2000_0015, 0x4000_001e];
/** All bits of KVM_PPC_GET_CPU_CHAR that the kernel knows are valid; none is set: nothing speculates here. */
const CHARACTERISTICS_KNOWN = 0xf940_0000_0000_0000n;
const BEHAVIOUR_KNOWN = 0xe400_0000_0000_0000n;

const CAPABILITIES: readonly (readonly [number, number])[] = [
  [uapi.KVM_CAP_SYNC_MMU, 1],
  [uapi.KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1],
  [uapi.KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1],
  [uapi.KVM_CAP_ENABLE_CAP, 1],
  [uapi.KVM_CAP_ENABLE_CAP_VM, 1],
  [uapi.KVM_CAP_CHECK_EXTENSION_VM, 1],
  [uapi.KVM_CAP_ONE_REG, 1],
  [uapi.KVM_CAP_IMMEDIATE_EXIT, 1],
  [uapi.KVM_CAP_BINARY_STATS_FD, 1],
  [uapi.KVM_CAP_NR_VCPUS, 1],
  [uapi.KVM_CAP_MAX_VCPUS, MAX_VCPUS],
  [uapi.KVM_CAP_MAX_VCPU_ID, MAX_VCPU_IDS],
  [uapi.KVM_CAP_PPC_PAPR, 1],
  [power.KVM_CAP_PPC_SEGSTATE, 1],
  [power.KVM_CAP_PPC_HIOR, 1],
  [power.KVM_CAP_PPC_UNSET_IRQ, 1],
  [power.KVM_CAP_PPC_IRQ_LEVEL, 1],
  [power.KVM_CAP_PPC_SMT, 1],
  [power.KVM_CAP_PPC_FIXUP_HCALL, 1],
  [power.KVM_CAP_PPC_MMU_RADIX, 1],
  [power.KVM_CAP_PPC_NESTED_HV, 1],
  [power.KVM_CAP_PPC_GET_CPU_CHAR, 1],
  [power.KVM_CAP_PPC_RPT_INVALIDATE, 1],
  [power.KVM_CAP_PPC_AIL_MODE_3, 1],
];

/** What kernels before 5.14 and 5.18 did not have. */
const RECENT_CAPABILITIES = [power.KVM_CAP_PPC_RPT_INVALIDATE, power.KVM_CAP_PPC_AIL_MODE_3];
const RECENT_CALLS = [H_RPT_INVALIDATE];

/** From now on VMs have vCPUs. Hypercalls that are in KVM's table already stay as they are. */
export function installPowerKvm(kvm: ModelKvm, engine: PowerEngineFactory): void {
  const recent = kvm.kernel.profile === "6.12" || kvm.kernel.profile === "6.1";
  for (const [capability, value] of CAPABILITIES) {
    if (recent || !RECENT_CAPABILITIES.includes(capability)) kvm.capabilities.set(capability, value);
  }
  for (const [nr, call] of paprHypercalls()) {
    if (!kvm.hypercalls.has(nr) && (recent || !RECENT_CALLS.includes(nr))) kvm.hypercalls.set(nr, call);
  }
  const requests = uapi.kvmRequests(kvm.kernel.arch);
  kvm.vmIoctls.set(requests.KVM_CREATE_VCPU, (vm, call) => createVcpu(vm, call, engine, kvm));
  kvm.vmIoctls.set(requests.KVM_PPC_CONFIGURE_V3_MMU, configureMmu);
  kvm.vmIoctls.set(requests.KVM_PPC_GET_RMMU_INFO, radixInfo);
  kvm.vmIoctls.set(requests.KVM_PPC_GET_CPU_CHAR, characteristics);
  kvm.vmIoctls.set(requests.KVM_GET_STATS_FD, (vm, { process }) =>
    process.install(statsFile({ id: "kvm-vm", values: vmStatistics, file: vm.file })),
  );
}

function createVcpu(vm: Vm, call: IoctlCall, engine: PowerEngineFactory, kvm: ModelKvm): number {
  const id = call.arg.number;
  const { vcpus } = powerVm(vm);
  if (!(id >= 0 && id < MAX_VCPU_IDS) || vcpus.size >= MAX_VCPUS) return -EINVAL;
  // POWER9 has a virtual core for each id: one that is taken, or has no core, is refused before ids are compared.
  if (id >= MAX_VCPUS || vcpus.has(id)) return -EINVAL;
  const vcpu = new PowerVcpu(powerVm(vm), id, engine, kvm.realMode?.(vm) ?? null);
  const fd = call.process.install(vcpu.file);
  if (fd < 0) return fd;
  vcpus.set(id, vcpu);
  vm.onRelease(() => vcpu.destroy());
  return fd;
}

const configureMmu: VmIoctl = (vm, { arg }) => {
  const view = arg.view(power.kvm_ppc_mmuv3_cfg.size, "r");
  if (!view) return -EFAULT;
  const { flags, process_table } = power.kvm_ppc_mmuv3_cfg.read(view, 0);
  return powerVm(vm).configureMmu(flags, process_table);
};

const radixInfo: VmIoctl = (_vm, { arg }) => {
  const geometry = (page_shift: number, level_bits: number[]) => ({ page_shift, level_bits });
  const none = geometry(0, [0, 0, 0, 0]);
  const geometries = [geometry(12, RADIX_BITS_4K), geometry(16, RADIX_BITS), ...Array<typeof none>(6).fill(none)];
  arg.copyOut(power.kvm_ppc_rmmu_info.encode({ geometries, ap_encodings: [...AP_ENCODINGS, 0, 0, 0, 0] }));
  return 0;
};

const characteristics: VmIoctl = (_vm, { arg }) => {
  const known = { character_mask: CHARACTERISTICS_KNOWN, behaviour_mask: BEHAVIOUR_KNOWN };
  arg.copyOut(power.kvm_ppc_cpu_char.encode(known));
  return 0;
};

/** Nothing is shared with other VMs, and no page is larger than the base page. */
const vmStatistics = () => ({ remote_tlb_flush: 0, remote_tlb_flush_requests: 0, num_2M_pages: 0, num_1G_pages: 0 });
