// Guest programs: readable examples of the mini assembler, and what the machine is tried with.

export { type DiskPattern, diskPattern, READ_PATTERN, WRITE_PATTERN } from "./disk-pattern.ts";
export { NVME_MODULES } from "./linux-calls.ts";
export { type LinuxDiskInitOptions, linuxDiskInit } from "./linux-init.ts";
