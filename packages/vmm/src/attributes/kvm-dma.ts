// What x86 KVM makes of DMA that may bypass the caches, for the whole VM: it counts it once a file of such a device is in its
// list, and lets the guest choose memory types and empty caches from then on.
// Source: virt/kvm/vfio.c (kvm_vfio_update_coherency); arch/x86/kvm/vmx/vmx.c (vmx_get_mt_mask), x86.c
// (kvm_emulate_wbinvd_noskip) of Linux 6.12 and 6.1; AMD's nested entries hold no memory type.
// Invariant: this says in words what effectiveType() of the same CPU gives for RAM.
import type { KvmRules } from "./intel.ts";

export interface KvmDmaFacts {
  /** KVM counts the VM's DMA as non-coherent; null where it is not known whether some need not snoop. */
  readonly nonCoherent: boolean | null;
  /** What decides the memory type of guest RAM; null where that depends on what is not known. */
  readonly ramType: "write-back" | "guest-pat" | "guest-mtrr-and-pat" | null;
  /** A guest's WBINVD empties caches; else it does nothing. */
  readonly wbinvd: boolean | null;
}

/** Null for a vendor, or a count, that is not known. */
export function kvmDmaFacts(vendor: "intel" | "amd" | null, rules: KvmRules, nonCoherent: boolean | null): KvmDmaFacts {
  return { nonCoherent, ramType: ramType(vendor, rules, nonCoherent), wbinvd: nonCoherent };
}

function ramType(vendor: "intel" | "amd" | null, rules: KvmRules, nonCoherent: boolean | null): KvmDmaFacts["ramType"] {
  if (vendor === "amd") return "guest-pat";
  if (vendor === null || nonCoherent === null) return null;
  if (!nonCoherent) return "write-back";
  return rules === "6.12" ? "guest-pat" : "guest-mtrr-and-pat";
}
