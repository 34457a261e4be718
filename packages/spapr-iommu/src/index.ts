// The face of @minivmm/spapr-iommu: the ABI and the client. The kernel's side is @minivmm/spapr-iommu/model.

export { SpaprContainer, type SpaprInfo, type SpaprMemory, type SpaprWindow } from "./client/container.ts";
export { type EehErr, EehPe } from "./client/eeh.ts";
export { KvmSpaprTce, type KvmTceWindow, type TceTableLinker } from "./client/kvm-tce.ts";
export { SpaprError } from "./error.ts";
export * from "./uapi.ts";
export * from "./uapi-kvm.ts";
