// The face of @minivmm/vmm: make a VM, run it, read what it did. Boot formats are in "@minivmm/vmm/boot".
export type { PlatformSource } from "./accel/x86/messages.ts";
export type { PcPlatform, PlatformClock, PlatformModule } from "./accel/x86/platform.ts";
export type { CoherencyConfig, PseriesCoherencyConfig } from "./coherency/config.ts";
export type { CoherencyKind, CoherencyReport, CoherencySummary } from "./coherency/report.ts";
export type { EmulatedConfig, IommufdConfig, VfioPciConfig } from "./config/functions.ts";
export type { DeviceConfig, VmConfig } from "./config.ts";
export type { ConsoleBackend } from "./console.ts";
export { VmmError, type VmmErrorCode } from "./errors.ts";
export type { PcDeviceConfig } from "./machines/pc/devices.ts";
export type { ScsiDiskConfig, VscsiConfig } from "./machines/pseries/vio/vscsi/config.ts";
export type { PcVmConfig } from "./pc-config.ts";
export { createPcVm } from "./pc-vm.ts";
export type { BarNow, ContainerNow, RamNow, RunningAttributes } from "./running-attributes.ts";
export type {
  DeviceSummary,
  DmaSummary,
  DomainSummary,
  MachineSummary,
  PcSummary,
  PseriesSummary,
  TceCallSummary,
  TceWindowSummary,
  TimelineMark,
  VioSummary,
  VmSummary,
} from "./summary.ts";
export { createVm, type Vm, type VmExit } from "./vm.ts";
