// The two tables that an x86 vCPU is set up with: what CPUID says, and values of model-specific registers.
// Source: struct kvm_cpuid2 and struct kvm_msrs: a head with the number of entries, and the entries.

import type { StructValue } from "@minivmm/host";
import { kvm_cpuid_entry2, kvm_cpuid2, kvm_msr_entry, kvm_msrs } from "../uapi-x86.ts";

/** One leaf, or one sub-leaf where `flags` has KVM_CPUID_FLAG_SIGNIFCANT_INDEX. */
export type CpuidEntry = StructValue<typeof kvm_cpuid_entry2>;
export type MsrEntry = StructValue<typeof kvm_msr_entry>;

/** Room for `capacity` entries, to be filled by the kernel. */
export function emptyCpuid(capacity: number): Uint8Array {
  return kvm_cpuid2.encode({ nent: capacity }, new Uint8Array(kvm_cpuid2.size + capacity * kvm_cpuid_entry2.size));
}

export function encodeCpuid(entries: readonly Readonly<CpuidEntry>[]): Uint8Array {
  const bytes = emptyCpuid(entries.length);
  entries.forEach((entry, n) => {
    kvm_cpuid_entry2.encode(entry, bytes.subarray(kvm_cpuid2.size + n * kvm_cpuid_entry2.size));
  });
  return bytes;
}

export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  const { nent } = kvm_cpuid2.decode(bytes);
  return Array.from({ length: nent }, (_, n) =>
    kvm_cpuid_entry2.decode(bytes, kvm_cpuid2.size + n * kvm_cpuid_entry2.size),
  );
}

export function encodeMsrs(entries: readonly Readonly<MsrEntry>[]): Uint8Array {
  const bytes = new Uint8Array(kvm_msrs.size + entries.length * kvm_msr_entry.size);
  kvm_msrs.encode({ nmsrs: entries.length }, bytes);
  entries.forEach((entry, n) => {
    kvm_msr_entry.encode(entry, bytes.subarray(kvm_msrs.size + n * kvm_msr_entry.size));
  });
  return bytes;
}

export function decodeMsrs(bytes: Uint8Array): MsrEntry[] {
  const { nmsrs } = kvm_msrs.decode(bytes);
  return Array.from({ length: nmsrs }, (_, n) => kvm_msr_entry.decode(bytes, kvm_msrs.size + n * kvm_msr_entry.size));
}
