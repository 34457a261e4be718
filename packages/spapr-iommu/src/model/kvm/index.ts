// sPAPR TCE in the modelled KVM.
export {
  counterLayout,
  type HypercallKind,
  KINDS,
  OUTCOMES,
  type Outcome,
  REASONS,
  type Reason,
  STAGES,
  type Stage,
  type TceCounters,
} from "./counters.ts";
export type { GuestTable } from "./guest-table.ts";
export type { TceHypercalls } from "./hypercalls.ts";
export { installKvmSpaprTce, type KvmSpaprTceOptions, type ModelKvmSpaprTce } from "./install.ts";
export type { TceLink } from "./link.ts";
