// What a caller asks of machine pseries, and its validation: createVm takes a VmConfig and works on a ResolvedConfig, in
// which every default is filled in and every value has been checked. Mistakes throw VmmError with a USAGE_ code.

import type { PseriesCoherencyConfig } from "./coherency/config.ts";
import { checkMemory, configError, type KernelSource, readKernel } from "./config/common.ts";
import { checkFunctions, type EmulatedConfig, type VfioPciConfig } from "./config/functions.ts";
import type { ConsoleBackend } from "./console.ts";
import { hex } from "./errors.ts";
import { placeDisks, type VscsiConfig } from "./machines/pseries/vio/vscsi/config.ts";

export type DeviceConfig = VfioPciConfig | EmulatedConfig | VscsiConfig;

export interface VmConfig {
  readonly machine: "pseries";
  /** RAM in bytes, a multiple of 1 MiB. */
  readonly memoryBytes: number;
  /** An uncompressed 64-bit little-endian PowerPC ELF image. */
  readonly kernel: KernelSource;
  readonly initrd?: Uint8Array;
  /** Kernel command line. Default "". */
  readonly append?: string;
  readonly devices?: readonly DeviceConfig[];
  readonly console: ConsoleBackend;
  /**
   * How guest time passes. "wall" (default): with real time. "instructions": with executed instructions, so that runs
   * repeat exactly; an idle guest skips ahead to its next timer.
   */
  readonly clock?: "wall" | "instructions";
  /** Who executes the guest: "soft" (default), a CPU in this program; "kvm", the host kernel's KVM. */
  readonly accel?: "soft" | "kvm";
  /** With KVM: let the kernel answer TCE hypercalls of passed-through devices where it can. Default true. */
  readonly vfioAccel?: boolean;
  /** Size of the default DMA window, a power of two from 1 MiB to 2 GiB. Default 1 GiB. */
  readonly dmaWindowBytes?: number;
  /** Offer dynamic DMA windows. Default true. */
  readonly ddw?: boolean;
  /** Check what devices do with memory; not under KVM. Absent: nothing is checked, and nothing costs. */
  readonly coherency?: PseriesCoherencyConfig;
}

export interface ResolvedConfig {
  readonly memoryBytes: number;
  readonly kernelName: string;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly devices: readonly DeviceConfig[];
  readonly console: ConsoleBackend;
  readonly clock: "wall" | "instructions";
  readonly accel: "soft" | "kvm";
  readonly vfioAccel: boolean;
  readonly dmaWindowBytes: number;
  readonly ddw: boolean;
  readonly coherency: PseriesCoherencyConfig | undefined;
}

const APPEND_MAX = 2048;
const DEFAULT_DMA_WINDOW = 0x4000_0000;

/** Checks a configuration and fills in defaults. Throws VmmError USAGE_*. */
export function resolveConfig(config: VmConfig): ResolvedConfig {
  if (config.machine !== "pseries") {
    throw configError(`unknown machine "${String(config.machine)}"`, 'the machine is "pseries"');
  }
  const { memoryBytes, append = "", dmaWindowBytes = DEFAULT_DMA_WINDOW, clock = "wall", accel = "soft" } = config;
  checkMemory(memoryBytes);
  if (append.length > APPEND_MAX || append.includes("\0")) {
    throw configError(`the kernel command line has ${append.length} characters`, `at most ${APPEND_MAX}, and no NUL`);
  }
  const windowLog = Math.log2(dmaWindowBytes);
  if (!Number.isInteger(windowLog) || windowLog < 20 || windowLog > 31) {
    throw configError(`a default DMA window of ${hex(dmaWindowBytes)} bytes`, "a power of two from 1 MiB to 2 GiB");
  }
  if (clock !== "wall" && clock !== "instructions") {
    throw configError(`unknown clock "${String(clock)}"`, 'the clock is "wall" or "instructions"');
  }
  if (accel !== "soft" && accel !== "kvm") {
    throw configError(`unknown accelerator "${String(accel)}"`, 'the accelerator is "soft" or "kvm"');
  }
  if (accel === "kvm" && clock === "instructions") {
    throw configError(
      "time cannot be counted in instructions under KVM",
      "leave out -enable-kvm or clock=instructions",
    );
  }
  if (accel === "kvm" && config.coherency !== undefined) {
    throw configError(
      "DMA cannot be checked under KVM, whose CPU tells nothing of caches and keeps DMA windows to itself",
      "leave out -enable-kvm or iommu.check",
    );
  }
  return {
    memoryBytes,
    ...readKernel(config.kernel),
    initrd: config.initrd,
    append,
    devices: checkDevices(config.devices ?? []),
    console: config.console,
    clock,
    accel,
    vfioAccel: config.vfioAccel ?? true,
    dmaWindowBytes,
    ddw: config.ddw ?? true,
    coherency: config.coherency,
  };
}

function checkDevices(devices: readonly DeviceConfig[]): readonly DeviceConfig[] {
  for (const [index, device] of devices.entries()) {
    if (device.driver === "spapr-vscsi") placeDisks(device.id ?? `dev${index}`, device.disks);
    else if (device.driver !== "emulated" && device.driver !== "vfio-pci") {
      throw configError(
        `unknown device driver "${String((device as DeviceConfig).driver)}"`,
        "known: vfio-pci, emulated, spapr-vscsi",
      );
    } else if (device.driver === "vfio-pci" && (device.iommufd !== undefined || device.deviceFd !== undefined)) {
      throw configError(`device ${device.host} cannot use an iommufd`, "machine pseries takes devices through groups");
    }
  }
  return checkFunctions(devices);
}
