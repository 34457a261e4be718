/** iommufd of the modelled kernel: /dev/iommu, and what VFIO does with it. */
export type { IommufdContext, IommufdKernel } from "./context.ts";
export { iommufdOf } from "./file.ts";
export { type IommufdOptions, installIommufd } from "./module.ts";
