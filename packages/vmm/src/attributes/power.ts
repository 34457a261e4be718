// Storage attributes of a guest page on POWER: radix (both tables say one, the stricter one holds) and hash (KVM decides
// when the guest enters the translation).
// Source: Power ISA 3.0B book III, 5.7.10 (radix tree translation) and 1.7 (storage control attributes); Linux
// arch/powerpc/include/asm/book3s/64/radix.h, pgtable.h (_PAGE_SAO, _PAGE_NON_IDEMPOTENT, _PAGE_TOLERANT);
// kvmppc_do_h_enter (book3s_hv_rm_mmu.c), kvmppc_book3s_instantiate_page (book3s_64_mmu_radix.c, which copies the host's
// bits into the partition-scoped entry); vfio_pci_core_mmap (pgprot_noncached).
// Invariant: nothing allocates; a guest never loosens what the host says.

/** Bits 0x30 of a radix page table entry. "tolerant": I/O that bears combining, what Linux takes for write-combining. */
export type RadixAttribute = "normal" | "SAO" | "tolerant" | "non-idempotent";

/** From loose to strict. */
export const RADIX_ATTRIBUTES: readonly RadixAttribute[] = ["normal", "SAO", "tolerant", "non-idempotent"];

const BITS: Readonly<Record<RadixAttribute, number>> = { normal: 0, SAO: 0x10, "non-idempotent": 0x20, tolerant: 0x30 };

/** Rows: the host's partition-scoped entry. Columns: the guest's process-scoped one. */
export const RADIX_HOST_BY_GUEST: Readonly<Record<RadixAttribute, Readonly<Record<RadixAttribute, RadixAttribute>>>> = {
  normal: { normal: "normal", SAO: "SAO", tolerant: "tolerant", "non-idempotent": "non-idempotent" },
  SAO: { normal: "SAO", SAO: "SAO", tolerant: "tolerant", "non-idempotent": "non-idempotent" },
  tolerant: { normal: "tolerant", SAO: "tolerant", tolerant: "tolerant", "non-idempotent": "non-idempotent" },
  "non-idempotent": {
    normal: "non-idempotent",
    SAO: "non-idempotent",
    tolerant: "non-idempotent",
    "non-idempotent": "non-idempotent",
  },
};

/** What vfio-pci gives whoever maps a BAR: guarded, and never write-combining. */
export const VFIO_BAR_ATTRIBUTE: RadixAttribute = "non-idempotent";

/** Bits of a radix entry for an attribute. */
export function radixBits(attribute: RadixAttribute): number {
  return BITS[attribute];
}

/** Attribute that a radix entry asks for. */
export function radixAttribute(pte: number): RadixAttribute {
  const bits = pte & 0x30;
  if (bits === 0) return "normal";
  if (bits === 0x10) return "SAO";
  return bits === 0x20 ? "non-idempotent" : "tolerant";
}

/** Effective attribute of a page of a radix guest. */
export function radixType(host: RadixAttribute, guest: RadixAttribute): RadixAttribute {
  return RADIX_HOST_BY_GUEST[host][guest];
}

export const HPTE_W = 0x40;
export const HPTE_I = 0x20;
export const HPTE_M = 0x10;
export const HPTE_G = 0x08;
const WIMG = HPTE_W | HPTE_I | HPTE_M | HPTE_G;

/**
 * WIMG bits that KVM HV enters for a hash guest's H_ENTER, or -1 where it answers H_PARAMETER. A guest's request for
 * caching of a device page is refused; its request for anything but caching of RAM is overruled.
 */
export function hashWimg(hostCached: boolean, requested: number): number {
  const wimg = requested & WIMG;
  if (hostCached) return HPTE_M;
  return (wimg & HPTE_I) !== 0 && (wimg & HPTE_W) === 0 ? wimg : -1;
}
