// The files under /proc/self that say what the kernel charges to a process; the real host has them too, so a program
// can watch its locked memory the same way on both. Source: fs/proc/task_mmu.c (task_mem).

import type { AddressSpace } from "./mm.ts";

/** Content of the file of the process that owns `mm`, or undefined when the path is not one. */
export function procFile(mm: AddressSpace, path: string): Uint8Array | undefined {
  if (path !== "/proc/self/status") return undefined;
  const line = (name: string, pages: number) => `${name}:\t${String((pages * mm.pageSize) / 1024).padStart(8)} kB\n`;
  return new TextEncoder().encode(line("VmLck", mm.lockedPages) + line("VmPin", mm.pinnedPages));
}
