// What differs between kernels in the sPAPR container, as plain switches.
// Sources: drivers/vfio/vfio_iommu_spapr_tce.c and arch/powerpc/mm/book3s64/iommu_api.c of v3.11, v4.12, v6.1, v6.12.
import type { KernelProfile } from "@minivmm/host/model";

export interface SpaprProfile {
  /** The v2 driver (preregistered memory, dynamic windows) exists. */
  readonly v2: boolean;
  /** VFIO_EEH is known. */
  readonly eeh: boolean;
  /** Ownership is a pair of callbacks, not a property of the device: v1 works only where they are missing, v2 only where they exist. */
  readonly ownershipOps: boolean;
  /** UNMAP checks that the whole range lies in the table; without it the range may run past the end. */
  readonly rangeFix: boolean;
  /** A failed IOVA check is the integer 1 (`a || b`) and not -EINVAL. */
  readonly positiveOne: boolean;
  /** The user view of a table is made with it and charged with it; else at the first v2 MAP. */
  readonly eagerUserView: boolean;
  /** REGISTER looks for overlaps before it charges and pins, and reports any unpinnable page as -EFAULT. */
  readonly overlapFirst: boolean;
  /** UNREGISTER refuses (-EBUSY) while pages are mapped. Without it the region is only forgotten by the container. */
  readonly unregisterBusy: boolean;
  /** Leaving groups and removed windows get their tables cleared before they are taken away. */
  readonly clearBeforeUnset: boolean;
}

const LINUX_6_12: SpaprProfile = {
  v2: true,
  eeh: true,
  ownershipOps: false,
  rangeFix: true,
  positiveOne: true,
  eagerUserView: true,
  overlapFirst: false,
  unregisterBusy: false,
  clearBeforeUnset: true,
};

const LINUX_6_1: SpaprProfile = { ...LINUX_6_12, ownershipOps: true, clearBeforeUnset: false };

const LINUX_4_12: SpaprProfile = {
  ...LINUX_6_1,
  rangeFix: false,
  eagerUserView: false,
  overlapFirst: true,
  unregisterBusy: true,
};

const LINUX_3_11: SpaprProfile = { ...LINUX_4_12, v2: false, eeh: false, positiveOne: false };

const PROFILES: Record<KernelProfile, SpaprProfile> = {
  "6.12": LINUX_6_12,
  "6.1": LINUX_6_1,
  "4.12": LINUX_4_12,
  "3.11": LINUX_3_11,
};

export function spaprProfile(kernel: KernelProfile): SpaprProfile {
  return PROFILES[kernel];
}
