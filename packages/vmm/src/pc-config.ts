// What a caller asks of machine pc, and its validation. Mistakes throw VmmError with a USAGE_ code.
import type { PlatformSource } from "./accel/x86/messages.ts";
import { CPUS_MAX } from "./accel/x86/shared-state.ts";
import { checkMemory, readKernel } from "./config.ts";
import type { ConsoleBackend } from "./console.ts";
import { VmmError } from "./errors.ts";

export interface PcVmConfig {
  readonly machine: "pc";
  /** RAM in bytes, a multiple of 1 MiB. */
  readonly memoryBytes: number;
  /** Default 1, at most 32. */
  readonly cpus?: number;
  /** A bzImage or an x86-64 ELF image: a file of this machine, or its bytes. */
  readonly kernel: { readonly path: string } | { readonly bytes: Uint8Array };
  readonly initrd?: Uint8Array;
  /** Kernel command line. Default "". */
  readonly append?: string;
  readonly console: ConsoleBackend;
  /** Module that gives the machine's thread its host and devices. */
  readonly platform: PlatformSource;
}

export interface ResolvedPcConfig {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly kernelName: string;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly console: ConsoleBackend;
  readonly platform: PlatformSource;
}

/** Checks a configuration and fills in defaults. Throws VmmError USAGE_*. */
export function resolvePcConfig(config: PcVmConfig): ResolvedPcConfig {
  const { memoryBytes, cpus = 1, append = "", initrd, console, platform } = config;
  checkMemory(memoryBytes);
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > CPUS_MAX) {
    throw new VmmError(`machine pc cannot have ${cpus} CPUs`, {
      code: "USAGE_CONFIG",
      details: { cpus },
      hint: `give it 1 to ${CPUS_MAX}`,
    });
  }
  if (append.includes("\0")) {
    throw new VmmError("the kernel command line has a NUL character in it", { code: "USAGE_CONFIG" });
  }
  return { memoryBytes, cpus, append, initrd, console, platform, ...readKernel(config.kernel) };
}
