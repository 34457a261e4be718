// What a VM has beyond the common part when its guests are POWER: vCPUs, and the state that they share (LPCR, process
// table). Source: arch/powerpc/kvm/book3s_hv.c (kvmppc_core_init_vm_hv, kvmhv_configure_mmu, kvmppc_set_lpcr) for a
// radix host of POWER9. Invariant: the guest is radix; hash page tables do not exist here.

import { EINVAL } from "@minivmm/host";
import {
  KVM_PPC_MMUV3_GTSE,
  KVM_PPC_MMUV3_RADIX,
  LPCR_AIL,
  LPCR_AIL_3,
  LPCR_ILE,
  PATB_GR,
  PRTB_MASK,
  PRTS_MASK,
} from "../../uapi-power.ts";
import type { Vm } from "../frame.ts";
import type { PowerVcpuFrame, PowerVmFrame } from "./frame.ts";

const LPCR_DPFD = 7n << 52n;
const LPCR_UPRT = 0x40_0000n;
const LPCR_HR = 0x10_0000n;
const LPCR_ONL = 0x4_0000n;
const LPCR_LD = 0x2_0000n;
const LPCR_PECE = 0x4000_0001_f000n;
const LPCR_GTSE = 0x400n;
const LPCR_TC = 0x200n;
const LPCR_HEIC = 0x10n;
const LPCR_LPES = 0xcn;
const LPCR_HVICE = 2n;
const LPCR_HDICE = 1n;
/** Default prefetch depth 4; a radix guest with global shootdown; wake-up and event bits as the host has them. */
const LPCR_FIRST =
  (4n << 52n) |
  LPCR_UPRT |
  LPCR_HR |
  LPCR_ONL |
  LPCR_PECE |
  LPCR_GTSE |
  LPCR_HEIC |
  LPCR_LPES |
  LPCR_HVICE |
  LPCR_HDICE;
const LOW_HALF = 0xffff_ffffn;
const LARGEST_TABLE = 24n;

export class PowerVm implements PowerVmFrame {
  readonly vm: Vm;
  readonly vcpus = new Map<number, PowerVcpuFrame>();
  running: PowerVcpuFrame | null = null;
  lpcr = LPCR_FIRST;
  processTable = 0n;
  nestedTable = 0n;

  constructor(vm: Vm) {
    this.vm = vm;
  }

  /** KVM_PPC_CONFIGURE_V3_MMU: 0 or -errno. */
  configureMmu(flags: bigint, table: bigint): number {
    if (flags & ~(KVM_PPC_MMUV3_RADIX | KVM_PPC_MMUV3_GTSE)) return -EINVAL;
    const radix = (flags & KVM_PPC_MMUV3_RADIX) !== 0n;
    if (((table & PATB_GR) !== 0n) !== radix) return -EINVAL;
    if ((table & PRTS_MASK) > LARGEST_TABLE) return -EINVAL;
    if (!radix) return -EINVAL;
    this.processTable = table;
    const gtse = (flags & KVM_PPC_MMUV3_GTSE) !== 0n ? LPCR_GTSE : 0n;
    this.lpcr = (this.lpcr & ~LPCR_GTSE) | gtse;
    for (const vcpu of this.vcpus.values()) {
      vcpu.lpcr = (vcpu.lpcr & ~LPCR_GTSE) | gtse;
      vcpu.useProcessTable();
    }
    return 0;
  }

  /** Base and log2 of the size in bytes; null before there is one. */
  get processTableAt(): { base: number; sizeLog2: number } | null {
    if (this.processTable === 0n) return null;
    return { base: Number(this.processTable & PRTB_MASK), sizeLog2: Number(this.processTable & PRTS_MASK) + 12 };
  }
}

/** What user space may make of LPCR: some bits, and alternate interrupt location 0 or 3 only. */
export function changedLpcr(old: bigint, wanted: bigint, keepUpper: boolean): bigint {
  const all = LPCR_DPFD | LPCR_ILE | LPCR_TC | LPCR_AIL | LPCR_LD;
  const mask = keepUpper ? all & LOW_HALF : all;
  const lpcr = ((old & ~mask) | (wanted & mask)) & ~LPCR_TC;
  return (lpcr & LPCR_AIL) === LPCR_AIL_3 ? lpcr : lpcr & ~LPCR_AIL;
}

const known = new WeakMap<Vm, PowerVm>();

/** The POWER part of a VM, made when it is first asked for. */
export function powerVm(vm: Vm): PowerVm {
  let power = known.get(vm);
  if (!power) {
    power = new PowerVm(vm);
    known.set(vm, power);
  }
  return power;
}
