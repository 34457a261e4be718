/** iommufd of the modelled kernel: /dev/iommu, and what VFIO does with it. */
import { EBADFD } from "@minivmm/host";
import { KernelError, type OpenFile } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import { IommufdDevice } from "./device.ts";
import { iommufdOf } from "./file.ts";

export { createCompatIoas, setNoiommu } from "./compat.ts";
export type { IommufdContext, IommufdKernel } from "./context.ts";
export type { IommufdDevice } from "./device.ts";
export { iommufdOf } from "./file.ts";
export { Ioas } from "./ioas.ts";
export { type IommufdOptions, installIommufd } from "./module.ts";
export { deviceIdFor } from "./ownership.ts";

/** Binds a function to the iommufd behind a file. Throws KernelError EBADFD (no iommufd), EINVAL, EPERM. */
export function iommufdDeviceOf(file: OpenFile, fn: PciFunction): IommufdDevice {
  const context = iommufdOf(file);
  if (!context) throw new KernelError(EBADFD);
  return IommufdDevice.bindTo(context, file, fn);
}
