// The KVM ABI: numbers and structs, and a typed client that works on any Host.
export { type DeviceAttribute, KvmDevice } from "./client/device.ts";
export { KvmPowerVcpu } from "./client/power-vcpu.ts";
export type { MmioExit } from "./client/run-page.ts";
export { type KvmOpenOptions, KvmSystem } from "./client/system.ts";
export { KvmVcpu, type PortExit } from "./client/vcpu.ts";
export { type IoEventFd, type IrqFd, KvmVm, type MemoryRegion } from "./client/vm.ts";
export { KvmError } from "./error.ts";
export * from "./uapi.ts";
export * from "./uapi-papr.ts";
export * from "./uapi-power.ts";
