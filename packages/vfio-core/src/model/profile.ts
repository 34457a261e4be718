/** What differs between the kernels that the model can be, as switches. Source: 6.12.117 compared with 6.1.192. */
import type { KernelProfile } from "@minivmm/host/model";

export interface Profile {
  /** A descriptor that is no container is EBADFD rather than EINVAL. */
  readonly containerType: boolean;
  /** INFO ioctls write the whole struct and round capabilities up to 8 bytes. */
  readonly wideInfo: boolean;
  /** Widest BAR access in bytes. */
  readonly barWidth: 4 | 8;
  /** MSI-X vectors can be added while MSI-X is on, where the interrupt domain can. */
  readonly dynamicMsix: boolean;
  /** ERR and REQ refuse descriptors below -1. */
  readonly strictNotifiers: boolean;
  /** A device that waits to be unbound cannot be opened any more. */
  readonly delistsEarly: boolean;
  /** KVM takes device files as well as group files. */
  readonly deviceFiles: boolean;
  /** An open device keeps the virtual machine alive that its group was given to. */
  readonly keepsVm: boolean;
  /** The external-user protocol is a property of groups (before 5.18). */
  readonly externalUsers: boolean;
  /** Hot reset looks for a reset method before it looks at the count. */
  readonly hotResetProbesFirst: boolean;
}

const MODERN: Profile = {
  containerType: true,
  wideInfo: true,
  barWidth: 8,
  dynamicMsix: true,
  strictNotifiers: true,
  delistsEarly: true,
  deviceFiles: true,
  keepsVm: true,
  externalUsers: false,
  hotResetProbesFirst: false,
};

const LINUX_6_1: Profile = {
  containerType: false,
  wideInfo: false,
  barWidth: 4,
  dynamicMsix: false,
  strictNotifiers: false,
  delistsEarly: false,
  deviceFiles: false,
  keepsVm: false,
  externalUsers: false,
  hotResetProbesFirst: true,
};

const PROFILES: Record<KernelProfile, Profile> = {
  "6.12": MODERN,
  "6.1": LINUX_6_1,
  "4.12": { ...LINUX_6_1, externalUsers: true },
  "3.11": { ...LINUX_6_1, externalUsers: true },
};

export function profileOf(kernel: KernelProfile): Profile {
  return PROFILES[kernel];
}
