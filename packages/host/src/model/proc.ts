// The files under /proc/self that say what the kernel charges to a process; the real host has them too, so a program
// can watch its locked memory the same way on both. Source: fs/proc/task_mmu.c (task_mem).

import type { ModelProcess } from "./process.ts";

/** Content of a process's own file, or undefined when the path is not one. */
export function procFile(process: ModelProcess, path: string): Uint8Array | undefined {
  if (path !== "/proc/self/status") return undefined;
  const kilobytes = (process.mm.lockedPages * process.pageSize) / 1024;
  return new TextEncoder().encode(`VmLck:\t${String(kilobytes).padStart(8)} kB\n`);
}
