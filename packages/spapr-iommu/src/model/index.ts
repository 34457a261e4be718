// The kernel's side of the sPAPR IOMMU, for modelled hosts and for the models that build on its tables (KVM).

export {
  type ArenaStore,
  memoryStore,
  ownStore,
  regionStore,
  TceArena,
  type WasmMemory,
} from "./arena/index.ts";
export * as arenaLayout from "./arena/layout.ts";
export { isAligned, pageNumber } from "./bus-address.ts";
export type { TceContainer } from "./container.ts";
export { isTceContainer, SpaprTceIommu, type SpaprTceIommuOptions } from "./driver.ts";
export * from "./kvm/index.ts";
export type { PartitionableEndpoint } from "./pe.ts";
export type { SpaprPlatform, WindowRequest } from "./platform.ts";
export { powernvTableSize } from "./powernv.ts";
export { PreregisteredMemory } from "./prereg.ts";
export { type SpaprProfile, spaprProfile } from "./profile.ts";
export { MemoryRegion } from "./region.ts";
export { TceTable, type TceTableShape } from "./table.ts";
export { TableGroup } from "./table-group.ts";
