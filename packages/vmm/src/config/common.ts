// What every machine is given, RAM and a kernel, and how it is checked.
import { readFileSync } from "node:fs";
import { VmmError } from "../errors.ts";

/** A file of this machine, or its bytes. */
export type KernelSource = { readonly path: string } | { readonly bytes: Uint8Array };

const MIB = 0x10_0000;

export function configError(message: string, hint: string, details: Record<string, unknown> = {}): VmmError {
  return new VmmError(message, { code: "USAGE_CONFIG", hint, details });
}

/** Throws VmmError USAGE_MEMORY_ALIGNMENT. */
export function checkMemory(memoryBytes: number): void {
  if (Number.isSafeInteger(memoryBytes) && memoryBytes >= MIB && memoryBytes % MIB === 0) return;
  throw new VmmError(`guest memory of ${memoryBytes} bytes is not a whole number of MiB`, {
    code: "USAGE_MEMORY_ALIGNMENT",
    details: { memoryBytes },
    hint: "give memory in whole MiB, for example 512",
  });
}

/** The file, or the bytes that were given. Throws VmmError USAGE_KERNEL_UNREADABLE. */
export function readKernel(kernel: KernelSource): { kernelName: string; kernel: Uint8Array } {
  if ("bytes" in kernel) return { kernelName: "kernel", kernel: kernel.bytes };
  try {
    return { kernelName: kernel.path, kernel: readFileSync(kernel.path) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VmmError(`cannot read the kernel ${kernel.path}: ${why}`, {
      code: "USAGE_KERNEL_UNREADABLE",
      details: { path: kernel.path },
      hint: "give the path of a kernel image",
      cause,
    });
  }
}
