// What differs between kernels in KVM's TCE tables and hypercalls, as plain switches.
// Sources: arch/powerpc/kvm/book3s_64_vio.c and book3s_64_vio_hv.c of v3.11, v4.12, v6.1, v6.12.
// No switch for the check of whole ranges: kernels without it write behind the table's end, which here is refused.
import type { KernelProfile } from "@minivmm/host/model";

export interface KvmTceProfile {
  /** KVM_CREATE_SPAPR_TCE_64, H_STUFF_TCE, H_PUT_TCE_INDIRECT, H_GET_TCE and locked-memory accounting exist. */
  readonly tce64: boolean;
  /** Hardware tables can be attached (KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE). */
  readonly vfio: boolean;
  /** LIOBNs are compared before memory is charged, and page shifts are not looked at. */
  readonly duplicateFirst: boolean;
  /** A table's entries fill its last page. */
  readonly roundsUp: boolean;
  /** A table has all its pages from the beginning; else a page appears when something other than 0 is stored. */
  readonly pagesAtOnce: boolean;
  /** What a TCE that cannot be is answered with: H_PARAMETER, H_TOO_HARD; "none" takes everything. */
  readonly validate: "none" | "parameter" | "tooHard";
  /** A hardware table must have the guest table's page size and size, not just room for it. */
  readonly exactMatch: boolean;
  /** A failed hardware update clears the entry and the call goes on; else the call ends there. */
  readonly goesOn: boolean;
  /** H_PUT_TCE_INDIRECT looks at the whole list before it writes anything. */
  readonly twoPasses: boolean;
  /** GROUP_DEL detaches one hardware table only. */
  readonly releasesOne: boolean;
  /** A stage without address translation is in front, for guests with a hash table. */
  readonly realMode: boolean;
}

const LINUX_6_12: KvmTceProfile = {
  tce64: true,
  vfio: true,
  duplicateFirst: false,
  roundsUp: false,
  pagesAtOnce: false,
  validate: "tooHard",
  exactMatch: false,
  goesOn: false,
  twoPasses: true,
  releasesOne: false,
  realMode: false,
};

const LINUX_4_12: KvmTceProfile = {
  ...LINUX_6_12,
  duplicateFirst: true,
  roundsUp: true,
  pagesAtOnce: true,
  validate: "parameter",
  exactMatch: true,
  goesOn: true,
  twoPasses: false,
  releasesOne: true,
  realMode: true,
};

const LINUX_3_11: KvmTceProfile = {
  ...LINUX_4_12,
  tce64: false,
  vfio: false,
  roundsUp: false,
  validate: "none",
  realMode: false,
};

const PROFILES: Record<KernelProfile, KvmTceProfile> = {
  "6.12": LINUX_6_12,
  "6.1": LINUX_6_12,
  "4.12": LINUX_4_12,
  "3.11": LINUX_3_11,
};

export function kvmTceProfile(kernel: KernelProfile): KvmTceProfile {
  return PROFILES[kernel];
}
