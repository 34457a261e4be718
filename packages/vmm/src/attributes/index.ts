// Page attributes and pinned pages: what type a guest page has, and what a VM will have locked. Subpath "./attributes".
export {
  AMD_COMBINED_BY_MTRR,
  AMD_GUEST_BY_HOST_PAT,
  type AmdType,
  amdType,
  combineNested,
} from "./amd.ts";
export { type ContainerFacts, type IommuKind, type SpaprFacts, surveyContainers } from "./containers.ts";
export {
  type EffectiveType,
  effectiveType,
  type GuestCpu,
  type GuestPage,
  type GuestRequest,
  requestsOf,
} from "./guest-page.ts";
export {
  type BarFacts,
  barsOf,
  cpuVendor,
  isAtLeast,
  kernelRelease,
  type LockFacts,
  lockFacts,
} from "./host-facts.ts";
export {
  combineEpt,
  EPT_IGNORE_PAT,
  EPT_TYPE_SHIFT,
  type EptAttributes,
  eptAttributes,
  INTEL_MTRR_BY_PAT,
  type IntelPage,
  intelType,
  type KvmRules,
  type KvmState,
} from "./intel.ts";
export { type KvmDmaFacts, kvmDmaFacts } from "./kvm-dma.ts";
export { kvmTceFacts } from "./kvm-facts.ts";
export {
  kvmTceTableBytes,
  type LockItem,
  type LockPrediction,
  type LockRequest,
  pinnedBy,
  predictLockedMemory,
  tceTableBytes,
} from "./locked-memory.ts";
export * from "./power.ts";
export * from "./x86-types.ts";
