/** VFIO for its users: the ABI, and a typed client on any Host. */
export { deviceNode, type PageTable, VfioCdev } from "./client/cdev.ts";
export * from "./client/container.ts";
export * from "./client/device.ts";
export { DmaCalls } from "./client/dma-calls.ts";
export * from "./client/group.ts";
export { type Holder, holdersOf, holdersRemedy, holdersText } from "./client/holders.ts";
export * from "./client/hwpt.ts";
export { type CapabilityBytes, capabilityChain } from "./client/info-caps.ts";
export * from "./client/ioas.ts";
export { iommuRemedy } from "./client/iommu-off.ts";
export * from "./client/iommufd.ts";
export { type LockedMemoryShortage, lockedMemoryShortage } from "./client/locked-memory.ts";
export { openDenied } from "./client/permission.ts";
export { mappableAreas, type RegionArea } from "./client/region-areas.ts";
export {
  driverOf,
  fullBdf,
  type GroupMember,
  groupMembers,
  groupNode,
  iommuGroupOf,
  leavesGroupFree,
  nodesOfGroup,
  requireVfioDriver,
} from "./client/sysfs.ts";
export * from "./client/type1.ts";
export type { IovaRange, Type1Info } from "./client/type1-info.ts";
export * from "./error.ts";
export * from "./uapi.ts";
export * from "./uapi-cdev.ts";
export * from "./uapi-iommufd.ts";
export * from "./uapi-region.ts";
