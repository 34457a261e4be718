// Effective memory type of a guest page on Intel: what KVM writes into the EPT entry, and what the processor makes of it
// and of the guest's own page table entry.
// Source: Intel SDM volume 3, 11.5.2.2 (12.5.2.2 in newer editions) "Selecting Memory Types for Pentium III and More
// Recent Processor Families", and "Memory Type Used for Translated Guest-Physical Addresses" (EPT);
// arch/x86/kvm/vmx/vmx.c vmx_get_mt_mask, vmx_ignore_guest_pat of Linux 6.12 and 6.1, arch/x86/kvm/mmu/spte.c.
// Invariants: an EPT entry takes the place of the MTRR; ignore-PAT leaves the EPT type alone; nothing allocates.
import { codeOf, type MtrrType, type PatType, typeOfCode } from "./x86-types.ts";

/** Memory type in an EPT entry: bits 5:3 the type, bit 6 "ignore PAT". */
export type EptAttributes = number;
export const EPT_TYPE_SHIFT = 3;
export const EPT_IGNORE_PAT = 0x40;

/** Rows: MTRR, or EPT type without ignore-PAT. Columns: PAT. */
export const INTEL_MTRR_BY_PAT: Readonly<Record<MtrrType, Readonly<Record<PatType, MtrrType>>>> = {
  UC: { UC: "UC", "UC-": "UC", WC: "WC", WT: "UC", WP: "UC", WB: "UC" },
  WC: { UC: "UC", "UC-": "WC", WC: "WC", WT: "UC", WP: "UC", WB: "WC" },
  WT: { UC: "UC", "UC-": "UC", WC: "WC", WT: "WT", WP: "WP", WB: "WT" },
  WP: { UC: "UC", "UC-": "WC", WC: "WC", WT: "WT", WP: "WP", WB: "WP" },
  WB: { UC: "UC", "UC-": "UC", WC: "WC", WT: "WT", WP: "WP", WB: "WB" },
};

/** Whose rules: from 6.11 on guest MTRRs and CR0.CD never count; 6.1 stands for what was before. */
export type KvmRules = "6.12" | "6.1";

export interface KvmState {
  readonly rules: KvmRules;
  /** KVM's count of devices whose DMA may bypass the caches is above 0. */
  readonly nonCoherent: boolean;
  /** KVM_X86_QUIRK_IGNORE_GUEST_PAT is in force, as it is unless user space took it away. Only 6.12 knows it. Default true. */
  readonly ignoreGuestPat?: boolean;
  /** KVM_X86_QUIRK_CD_NW_CLEARED is in force: CR0.CD does not take caching away. Default true. */
  readonly cdNwCleared?: boolean;
}

export interface IntelPage {
  /** The host frame is device memory (a BAR), not RAM. */
  readonly hostMmio: boolean;
  /** Type that the guest's MTRRs give the page. Default WB. */
  readonly guestMtrr?: MtrrType;
  /** CR0.CD as the guest sees it. Default false. */
  readonly cacheDisabled?: boolean;
}

const IGNORING_PAT = (type: MtrrType): EptAttributes => (codeOf(type) << EPT_TYPE_SHIFT) | EPT_IGNORE_PAT;

/** The EPT entry's memory type bits as KVM sets them. */
export function eptAttributes(page: IntelPage, kvm: KvmState): EptAttributes {
  if (page.hostMmio) return codeOf("UC") << EPT_TYPE_SHIFT;
  if (kvm.rules === "6.12") {
    const ignored = !kvm.nonCoherent && (kvm.ignoreGuestPat ?? true);
    return ignored ? IGNORING_PAT("WB") : codeOf("WB") << EPT_TYPE_SHIFT;
  }
  if (!kvm.nonCoherent) return IGNORING_PAT("WB");
  if (page.cacheDisabled ?? false) return IGNORING_PAT((kvm.cdNwCleared ?? true) ? "WB" : "UC");
  return codeOf(page.guestMtrr ?? "WB") << EPT_TYPE_SHIFT;
}

/** What the processor does with an EPT entry and the guest's PAT type (WB while the guest has paging off). */
export function combineEpt(ept: EptAttributes, pat: PatType): MtrrType {
  const type = typeOfCode((ept >>> EPT_TYPE_SHIFT) & 7);
  // A reserved type is an EPT misconfiguration, and UC- does not exist in an EPT entry.
  if (type === undefined || type === "UC-") return "UC";
  return (ept & EPT_IGNORE_PAT) !== 0 ? type : INTEL_MTRR_BY_PAT[type][pat];
}

/** Effective type of a guest page on Intel under KVM. */
export function intelType(page: IntelPage, pat: PatType, kvm: KvmState): MtrrType {
  return combineEpt(eptAttributes(page, kvm), pat);
}
