// @minivmm/ppc64: a POWER9 CPU engine. The assembler is the subpath "@minivmm/ppc64/asm".

export type { CacheWatch } from "./engine/cache-watch.ts";
export type { CompiledHypercalls, GuestRamFunctions } from "./engine/compiled-hypercalls.ts";
export type { CpuCounters } from "./engine/counters.ts";
export { Cpu, type CpuExit, type CpuOptions, ExitReason } from "./engine/cpu.ts";
export {
  allocateGuestRam,
  type GuestRam,
  type GuestRamOptions,
  guestRamOf,
  guestRamTaken,
} from "./engine/guest-ram.ts";
export type { PageSource } from "./engine/page-frames.ts";
export { CACHE_BLOCK } from "./engine/semantics/memory.ts";
export { Ppc64Error } from "./error.ts";
