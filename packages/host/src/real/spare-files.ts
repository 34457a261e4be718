// Descriptors: of kinds that nothing of this project uses, for asking a kernel what it says to them; and their numbers.

import { readdirSync } from "node:fs";
import { O_CLOEXEC } from "../constants.ts";
import { libc } from "./libc.ts";
import { processCalls } from "./process-calls.ts";

const MFD_CLOEXEC = 1;

/** The reading end of a new pipe, or -errno. */
export function pipe(): number {
  const pair = new Int32Array(2);
  const ret = processCalls().pipe2(new Uint8Array(pair.buffer), O_CLOEXEC);
  return ret < 0 ? ret : (pair[0] as number);
}

/** A new file in memory of `size` bytes, or -errno. */
export function memfd(size: number): number {
  const { memfdCreate, ftruncate } = processCalls();
  const fd = memfdCreate("minivmm", MFD_CLOEXEC);
  const ret = fd < 0 ? fd : ftruncate(fd, size);
  return ret < 0 ? ret : fd;
}

/**
 * Fills the gaps between the descriptors that this process has, and returns the number from which on they are free.
 * What is opened next gets that number, as if a process began there.
 */
export function closeRanks(): number {
  const open = readdirSync("/proc/self/fd").map(Number);
  const listed = Math.max(...open);
  const { dup, close } = libc();
  for (;;) {
    const fd = dup(0);
    // The one that listed the folder is free again, and may be the highest.
    if (fd >= 0 && fd < listed) continue;
    if (fd >= 0) close(fd);
    return fd;
  }
}
