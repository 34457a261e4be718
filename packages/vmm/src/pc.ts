// @minivmm/vmm/pc: machine pc alone. A guest that starts waits for no other machine to be loaded.
export type { PlatformSource } from "./accel/x86/messages.ts";
export type { PcPlatform, PlatformClock, PlatformModule } from "./accel/x86/platform.ts";
export type { ConsoleBackend } from "./console.ts";
export { VmmError, type VmmErrorCode } from "./errors.ts";
export type { PcDeviceConfig } from "./machines/pc/devices.ts";
export type { PcVmConfig } from "./pc-config.ts";
export { createPcVm } from "./pc-vm.ts";
export type { RunningAttributes } from "./running-attributes.ts";
export type { PcSummary, TimelineMark, TimelineStart } from "./summary.ts";
export type { Vm, VmExit } from "./vm.ts";
