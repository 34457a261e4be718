/** The type1 IOMMU back end of the modelled kernel. */
export { Type1Iommu, type Type1IommuOptions } from "./driver.ts";
export { type IommuUnit, MSI_WINDOW, type ReservedRegion, type ReservedType } from "./hardware.ts";
export { Type1Instance } from "./instance.ts";
export { IommuHardware, type IommuHardwareOptions } from "./units.ts";
