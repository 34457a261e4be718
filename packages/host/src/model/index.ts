// The modelled kernel's frame, for packages that model devices and for tests.

export type { Area, Backing, DeviceMemory } from "./area.ts";
export { UserArg, type UserMemory } from "./arg.ts";
export { type Clock, ManualClock, realClock } from "./clock.ts";
export { EventFd } from "./eventfd.ts";
export { FdTable } from "./fds.ts";
export {
  type DeviceNode,
  type FileOps,
  type IoctlCall,
  type KernelFrame,
  type KernelProfile,
  type MmapCall,
  type ModelProcess,
  OpenFile,
  type OpenNode,
  type SpawnOptions,
} from "./file.ts";
export { ModelKernel, type ModelKernelOptions } from "./kernel.ts";
export { KernelError, refusal } from "./kernel-error.ts";
export { mapBytes, mapDevice } from "./mapping.ts";
export { AddressSpace, type AddressSpaceOptions, MAP_HUGETLB, type MapOptions } from "./mm.ts";
export { PhysicalMemory } from "./physical.ts";
export { type Attribute, SysFs } from "./sysfs.ts";
