// Effective memory type of a guest page on AMD with nested paging: guest PAT with host PAT, then with the host's MTRRs.
// Source: AMD APM volume 2, 7.8 (PAT) and 15.25.8 "Combining Memory Types, MTRRs" with its two tables; Linux 6.12
// arch/x86/kvm/svm (no memory type is put into nested entries, so their PAT index is 0, which the host has as WB).
// Invariants: guest MTRRs never count; KVM's count of non-coherent devices changes nothing here but WBINVD; CR0.CD of a
// guest is cleared in the VMCB while the quirk CD_NW_CLEARED is in force, which is taken for granted.
import type { MtrrType, PatType } from "./x86-types.ts";

/**
 * WC+: write-combining that also snoops caches, since somebody else may have the line cached.
 * CD: not cached, but caches are snooped.
 */
export type AmdType = PatType | "WC+" | "CD";

type HostPat = PatType;
type Combined = PatType | "WC+";

/** Rows: guest PAT. Columns: host PAT (nested entry). */
export const AMD_GUEST_BY_HOST_PAT: Readonly<Record<PatType, Readonly<Record<HostPat, Combined>>>> = {
  UC: { UC: "UC", "UC-": "UC", WC: "UC", WP: "UC", WT: "UC", WB: "UC" },
  "UC-": { UC: "UC", "UC-": "UC-", WC: "WC", WP: "UC", WT: "UC", WB: "UC" },
  WC: { UC: "WC", "UC-": "WC", WC: "WC", WP: "WC+", WT: "WC+", WB: "WC+" },
  WP: { UC: "UC", "UC-": "UC", WC: "UC", WP: "WP", WT: "UC", WB: "WP" },
  WT: { UC: "UC", "UC-": "UC", WC: "UC", WP: "UC", WT: "WT", WB: "WT" },
  WB: { UC: "UC", "UC-": "UC", WC: "WC", WP: "WP", WT: "WT", WB: "WB" },
};

/** Rows: result of the first table. Columns: the host's MTRR for the frame. */
export const AMD_COMBINED_BY_MTRR: Readonly<Record<Combined, Readonly<Record<MtrrType, AmdType>>>> = {
  UC: { UC: "UC", WC: "CD", WP: "CD", WT: "CD", WB: "CD" },
  "UC-": { UC: "UC", WC: "WC", WP: "CD", WT: "CD", WB: "CD" },
  WC: { UC: "WC", WC: "WC", WP: "WC", WT: "WC", WB: "WC" },
  "WC+": { UC: "WC", WC: "WC", WP: "WC+", WT: "WC+", WB: "WC+" },
  WP: { UC: "UC", WC: "CD", WP: "WP", WT: "CD", WB: "WP" },
  WT: { UC: "UC", WC: "CD", WP: "CD", WT: "WT", WB: "WT" },
  WB: { UC: "UC", WC: "WC", WP: "WP", WT: "WT", WB: "WB" },
};

/** What the processor makes of the guest's and the host's PAT types and the host's MTRR type. */
export function combineNested(guest: PatType, host: HostPat, mtrr: MtrrType): AmdType {
  return AMD_COMBINED_BY_MTRR[AMD_GUEST_BY_HOST_PAT[guest][host]][mtrr];
}

/** Effective type of a guest page on AMD under KVM: nested entries are WB; MTRRs have RAM as WB and devices as UC. */
export function amdType(hostMmio: boolean, pat: PatType): AmdType {
  return combineNested(pat, "WB", hostMmio ? "UC" : "WB");
}
