// The KVM ABI: numbers and structs, and a typed client that works on any Host.
export { CoalescedRing, type CoalescedWrite } from "./client/coalesced.ts";
export type { CpuidEntry, MsrEntry } from "./client/cpu-tables.ts";
export { type DeviceAttribute, KvmDevice } from "./client/device.ts";
export type { MsiMessage } from "./client/interrupts.ts";
export { KvmPowerVcpu } from "./client/power-vcpu.ts";
export type { GsiRoute } from "./client/routing.ts";
export type { MmioExit } from "./client/run-page.ts";
export { RunPageAlias } from "./client/run-page-alias.ts";
export { type KvmOpenOptions, KvmSystem } from "./client/system.ts";
export { KvmVcpu } from "./client/vcpu.ts";
export { type CoalescedZone, type IoEventFd, type IrqFd, KvmVm, type MemoryRegion } from "./client/vm.ts";
export type { PortExit } from "./client/x86-exits.ts";
export { KvmError } from "./error.ts";
export * from "./uapi.ts";
export * from "./uapi-papr.ts";
export * from "./uapi-power.ts";
export * from "./uapi-x86.ts";
