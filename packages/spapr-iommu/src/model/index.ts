// The kernel's side of the sPAPR IOMMU, for modelled hosts and for the models that build on its tables (KVM).

export type { TceContainer } from "./container.ts";
export { isTceContainer, SpaprTceIommu, type SpaprTceIommuOptions } from "./driver.ts";
export type { PartitionableEndpoint } from "./pe.ts";
export type { SpaprPlatform, WindowRequest } from "./platform.ts";
export { powernvTableSize } from "./powernv.ts";
export { MemoryRegion, PreregisteredMemory } from "./prereg.ts";
export { type SpaprProfile, spaprProfile } from "./profile.ts";
export { type AllocateWords, isAligned, pageNumber, TceTable, type TceTableShape } from "./table.ts";
export { TableGroup } from "./table-group.ts";
