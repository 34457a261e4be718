// The error of this package's client and of its options.
import { MinivmmError } from "@minivmm/host";

/**
 * Codes: MEMLOCK (RLIMIT_MEMLOCK is too low), NO_WINDOW, WINDOW_REFUSED, MEMORY_REFUSED, OTHER_PROCESS,
 * REFUSED, OPTION; for tables in KVM also LIOBN_TAKEN, TABLE_REFUSED, NO_KVM_TCE.
 */
export class SpaprError extends MinivmmError {}
