// The face of @minivmm/host: the Host interface, the real host, and the ABI tools every protocol package needs.

export * from "./constants.ts";
export * from "./errno.ts";
export * from "./error.ts";
export * from "./host.ts";
export * from "./ioctl.ts";
export * from "./locked-memory.ts";
export { GuestMemory } from "./memory.ts";
export { realHost } from "./real/host.ts";
export * from "./struct.ts";
