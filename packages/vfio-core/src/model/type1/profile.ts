/** What differs in type1 between the kernels that the model can be. Source: 6.12.117 compared with 6.1.192. */
import { EIO, ENODEV } from "@minivmm/host";
import type { KernelProfile } from "@minivmm/host/model";

export interface Type1Profile {
  /** GET_INFO writes the whole struct and rounds capabilities up to 8 bytes. */
  readonly wideInfo: boolean;
  /** Memory never written and mapped for reading is the zero page; else it gets pages of its own. */
  readonly zeroPages: boolean;
  /** A group without an IOMMU in front of it. */
  readonly noIommu: number;
}

const LINUX_6_12: Type1Profile = { wideInfo: true, zeroPages: false, noIommu: ENODEV };
const EARLIER: Type1Profile = { wideInfo: false, zeroPages: true, noIommu: EIO };

export function type1Profile(kernel: KernelProfile): Type1Profile {
  return kernel === "6.12" ? LINUX_6_12 : EARLIER;
}
