// The face of @minivmm/vmm: make a VM, run it, read what it did. Boot formats are in "@minivmm/vmm/boot".
export type { DeviceConfig, EmulatedConfig, VfioPciConfig, VmConfig } from "./config.ts";
export type { ConsoleBackend } from "./console.ts";
export { VmmError, type VmmErrorCode } from "./errors.ts";
export type { ScsiDiskConfig, VscsiConfig } from "./machines/pseries/vio/vscsi/config.ts";
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
