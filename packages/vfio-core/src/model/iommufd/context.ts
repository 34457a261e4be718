/**
 * What one open /dev/iommu has (struct iommufd_ctx): objects, and its choices for VFIO users. `compatIoas` is the address
 * space (an Ioas) that VFIO's container ioctls mean, as long as there is one.
 */
import { EBUSY } from "@minivmm/host";
import type { KernelFrame } from "@minivmm/host/model";
import type { Type1Ioctls, VfioIoctls } from "../../uapi.ts";
import type { IommufdIoctls } from "../../uapi-iommufd.ts";
import type { IommuHardware } from "../type1/units.ts";
import type { AccountMode, UserAccounts } from "./accounting.ts";
import { type IommufdObject, ObjectTable } from "./object.ts";

/** What all iommufds of a kernel share. */
export interface IommufdKernel {
  readonly kernel: KernelFrame;
  readonly hardware: IommuHardware;
  readonly accounts: UserAccounts;
  readonly ioctls: IommufdIoctls;
  readonly vfioIoctls: VfioIoctls;
  readonly type1Ioctls: Type1Ioctls;
  /** CONFIG_VFIO_NOIOMMU */
  readonly noiommu: boolean;
  /** Module parameter: bind devices whose interrupts are not isolated. */
  allowUnsafeInterrupts: boolean;
}

export class IommufdContext {
  readonly host: IommufdKernel;
  readonly objects = new ObjectTable();
  accountMode: AccountMode;
  compatIoas: IommufdObject | null = null;
  /** A group without an IOMMU has been put into this "container"; others are refused from then on. */
  noiommuMode = false;

  constructor(host: IommufdKernel, accountMode: AccountMode) {
    this.host = host;
    this.accountMode = accountMode;
  }

  /** 0 or -EBUSY. */
  destroy(object: IommufdObject): number {
    if (object.users > 1) return -EBUSY;
    if (object === this.compatIoas) this.compatIoas = null;
    return this.objects.destroy(object);
  }
}
