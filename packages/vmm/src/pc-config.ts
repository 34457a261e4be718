// What a caller asks of machine pc, and its validation. Mistakes throw VmmError with a USAGE_ code.
import type { PlatformSource } from "./accel/x86/messages.ts";
import { CPUS_MAX } from "./accel/x86/shared-state.ts";
import type { CoherencyConfig } from "./coherency/config.ts";
import { checkMemory, configError, type KernelSource } from "./config/common.ts";
import type { ConsoleBackend } from "./console.ts";
import type { TimelineStart } from "./summary.ts";

export interface PcVmConfig {
  readonly machine: "pc";
  /** RAM in bytes, a multiple of 1 MiB. */
  readonly memoryBytes: number;
  /** Default 1, at most 32. */
  readonly cpus?: number;
  /** A bzImage or an x86-64 ELF image. */
  readonly kernel: KernelSource;
  /** A promise may settle while the threads start; createPcVm rejects as it does. */
  readonly initrd?: Uint8Array | Promise<Uint8Array>;
  /** Kernel command line. Default "". */
  readonly append?: string;
  readonly console: ConsoleBackend;
  /** Module that gives the machine's thread its host and devices. */
  readonly platform: PlatformSource;
  /** Where the timeline of the summary begins. Default: this call. */
  readonly since?: TimelineStart;
  /** Look at what devices do with memory. Absent: nothing is looked at, and nothing costs. */
  readonly coherency?: CoherencyConfig;
}

export interface ResolvedPcConfig {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly kernel: KernelSource;
  readonly initrd: Uint8Array | Promise<Uint8Array> | undefined;
  readonly append: string;
  readonly console: ConsoleBackend;
  readonly platform: PlatformSource;
  readonly since: TimelineStart | undefined;
  readonly coherency: CoherencyConfig | undefined;
}

/** Checks a configuration, but for what is in files, and fills in defaults. Throws VmmError USAGE_*. */
export function resolvePcConfig(config: PcVmConfig): ResolvedPcConfig {
  const { memoryBytes, cpus = 1, kernel, append = "", initrd, console, platform, since, coherency } = config;
  checkMemory(memoryBytes);
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > CPUS_MAX) {
    throw configError(`machine pc cannot have ${cpus} CPUs`, `give it 1 to ${CPUS_MAX}`, { cpus });
  }
  if (append.includes("\0")) {
    throw configError("the kernel command line has a NUL character in it", "take it out");
  }
  return { memoryBytes, cpus, kernel, append, initrd, console, platform, since, coherency };
}
