/** The kernel's side of VFIO: what a modelled host is made of. */
export { ROM_INDEX } from "./config/bars.ts";
export { VirtualConfig } from "./config/virtual-config.ts";
export { type ContainerContext, VfioContainer } from "./container.ts";
export { VfioCore, type VfioCoreOptions } from "./core.ts";
export { type DeviceIoctlHandler, VfioPciDevice } from "./device.ts";
export { VfioDeviceFile } from "./device-file.ts";
export { deviceSet, deviceSetKey, isResettable } from "./device-set.ts";
export { type DriverHooks, DriverModel, type PciDeviceId } from "./driver-model.ts";
export { eventFdFile, eventFdOf } from "./eventfd.ts";
export * from "./external-user.ts";
export { type KvmReference, VfioGroup } from "./group.ts";
export { VfioGroupFile } from "./group-file.ts";
export * from "./iommu-driver.ts";
export {
  deviceIdFor,
  type IommufdContext,
  type IommufdKernel,
  type IommufdOptions,
  iommufdOf,
} from "./iommufd/index.ts";
export type { Profile } from "./profile.ts";
export * from "./type1/index.ts";
export type { VfioHost } from "./vfio-host.ts";
