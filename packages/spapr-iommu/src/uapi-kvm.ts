// The user ABI of TCE tables in KVM, and the hypercalls on them.
// Sources: include/uapi/linux/kvm.h (6.12), Documentation/virt/kvm/api.rst; arch/powerpc/include/asm/hvcall.h, PAPR 14.5.4.
// Both requests have number 0xa8 and differ in the size of their struct. `offset` and `size` count TCE pages.
import { type Arch, ioctlNumbers, pad, struct, u32, u64 } from "@minivmm/host";
import { KVMIO } from "@minivmm/kvm";

export const kvm_create_spapr_tce = struct("kvm_create_spapr_tce", { liobn: u64, window_size: u32, pad: pad(4) });

export const kvm_create_spapr_tce_64 = struct("kvm_create_spapr_tce_64", {
  liobn: u64,
  page_shift: u32,
  flags: u32,
  offset: u64,
  size: u64,
});

export interface KvmTceRequests {
  readonly KVM_CREATE_SPAPR_TCE: number;
  readonly KVM_CREATE_SPAPR_TCE_64: number;
}

/** Request numbers of a VM on an architecture. */
export function kvmTceRequests(arch: Arch): KvmTceRequests {
  const { IOW } = ioctlNumbers(arch);
  return {
    KVM_CREATE_SPAPR_TCE: IOW(KVMIO, 0xa8, kvm_create_spapr_tce.size),
    KVM_CREATE_SPAPR_TCE_64: IOW(KVMIO, 0xa8, kvm_create_spapr_tce_64.size),
  };
}

/** Most entries of one H_PUT_TCE_INDIRECT: a list fills 4 KiB. */
export const TCE_LIST_ENTRIES = 512;
