// The memory that a kernel charges to a process as locked, read the same way on the real and on the modelled host.
// Source: fs/proc/task_mmu.c (task_mem).

const VMLCK = /^VmLck:\s*(\d+) kB/m;

/**
 * Bytes that VmLck states in `status`: what `readFile("/proc/self/status")` gave, so an errno is taken too.
 * Null when there is no such line.
 */
export function lockedBytes(status: Uint8Array | number): number | null {
  if (typeof status === "number") return null;
  const kib = VMLCK.exec(new TextDecoder().decode(status))?.[1];
  return kib === undefined ? null : Number(kib) * 1024;
}
