// What a program may do to its own Linux process beyond Host: fork it, give up privileges, reach memory by address.

export { access, memoryKind, preadFault, pwriteFault, readMemory, writeMemory } from "./address-space.ts";
export { dropCapability } from "./capabilities.ts";
export { adoptOrphans, type Ended, ForkedProcess, type ForkOptions, forkProcess, reapAll } from "./fork.ts";
export { type ProcessCalls, processCalls } from "./process-calls.ts";
export { closeRanks, memfd, pipe } from "./spare-files.ts";
