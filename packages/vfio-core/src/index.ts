/** VFIO for its users: the ABI, and a typed client on any Host. */
export * from "./client/container.ts";
export * from "./client/device.ts";
export { DmaCalls } from "./client/dma-calls.ts";
export * from "./client/group.ts";
export { type CapabilityBytes, capabilityChain } from "./client/info-caps.ts";
export * from "./client/sysfs.ts";
export * from "./client/type1.ts";
export type { IovaRange, Type1Info } from "./client/type1-info.ts";
export * from "./error.ts";
export * from "./uapi.ts";
