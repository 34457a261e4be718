// What a caller asks for, and its validation: createVm takes a VmConfig and works on a ResolvedConfig, in which every
// default is filled in and every value has been checked. Mistakes throw VmmError with a USAGE_ code.
import { readFileSync } from "node:fs";
import type { PciDevice } from "@minivmm/pci";
import type { ConsoleBackend } from "./console.ts";
import { hex, VmmError } from "./errors.ts";
import { placeDisks, type VscsiConfig } from "./machines/pseries/vio/vscsi/config.ts";

/** A whole function of the host given to the guest through VFIO. */
export interface VfioPciConfig {
  readonly driver: "vfio-pci";
  /** PCI address on the host, "0001:01:00.0" or without the domain. */
  readonly host: string;
  readonly id?: string;
  /** PCI slot in the guest, 1 to 31. Default: the lowest free one. */
  readonly slot?: number;
  /** An open descriptor of the device's group (/dev/vfio/N), for a process that may not open it itself. */
  readonly groupFd?: number;
  /** An open descriptor of a container (/dev/vfio/vfio). Devices that name the same one share an IOMMU domain. */
  readonly containerFd?: number;
  /** Name of the container that the VM opens for this device. Devices share one unless their names differ. */
  readonly container?: string;
  /** Through the device's own node and an iommufd instead of group and container. Machine pc. */
  readonly iommufd?: IommufdConfig;
  /** With `iommufd`: an open descriptor of the device's node (/dev/vfio/devices/vfioN). */
  readonly deviceFd?: number;
}

/** Devices whose iommufd has the same id share an IOMMU domain. */
export interface IommufdConfig {
  readonly id: string;
  /** An open descriptor of /dev/iommu. Default: the VM opens it. */
  readonly fd?: number;
}

/** A device model plugged straight into the guest. */
export interface EmulatedConfig {
  readonly driver: "emulated";
  readonly device: PciDevice;
  readonly id?: string;
  readonly slot?: number;
}

export type DeviceConfig = VfioPciConfig | EmulatedConfig | VscsiConfig;

export interface VmConfig {
  readonly machine: "pseries";
  /** RAM in bytes, a multiple of 1 MiB. */
  readonly memoryBytes: number;
  /** An uncompressed 64-bit little-endian PowerPC ELF image: a file of this machine, or its bytes. */
  readonly kernel: { readonly path: string } | { readonly bytes: Uint8Array };
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
}

const MIB = 0x10_0000;
const APPEND_MAX = 2048;
const DEFAULT_DMA_WINDOW = 0x4000_0000;
const HOST_ADDRESS = /^([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$/;

function usage(message: string, hint: string, details: Record<string, unknown> = {}): VmmError {
  return new VmmError(message, { code: "USAGE_CONFIG", hint, details });
}

/** Checks a configuration and fills in defaults. Throws VmmError USAGE_*. */
export function resolveConfig(config: VmConfig): ResolvedConfig {
  if (config.machine !== "pseries") {
    throw usage(`unknown machine "${String(config.machine)}"`, 'the machine is "pseries"');
  }
  const { memoryBytes, append = "", dmaWindowBytes = DEFAULT_DMA_WINDOW, clock = "wall", accel = "soft" } = config;
  checkMemory(memoryBytes);
  if (append.length > APPEND_MAX || append.includes("\0")) {
    throw usage(`the kernel command line has ${append.length} characters`, `at most ${APPEND_MAX}, and no NUL`);
  }
  const windowLog = Math.log2(dmaWindowBytes);
  if (!Number.isInteger(windowLog) || windowLog < 20 || windowLog > 31) {
    throw usage(`a default DMA window of ${hex(dmaWindowBytes)} bytes`, "a power of two from 1 MiB to 2 GiB");
  }
  if (clock !== "wall" && clock !== "instructions") {
    throw usage(`unknown clock "${String(clock)}"`, 'the clock is "wall" or "instructions"');
  }
  if (accel !== "soft" && accel !== "kvm") {
    throw usage(`unknown accelerator "${String(accel)}"`, 'the accelerator is "soft" or "kvm"');
  }
  if (accel === "kvm" && clock === "instructions") {
    throw usage("time cannot be counted in instructions under KVM", "leave out -enable-kvm or clock=instructions");
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
  };
}

/** Throws VmmError USAGE_MEMORY_ALIGNMENT. */
export function checkMemory(memoryBytes: number): void {
  if (Number.isSafeInteger(memoryBytes) && memoryBytes >= MIB && memoryBytes % MIB === 0) return;
  throw new VmmError(`guest memory of ${memoryBytes} bytes is not a whole number of MiB`, {
    code: "USAGE_MEMORY_ALIGNMENT",
    details: { memoryBytes },
    hint: "give memory in whole MiB, for example 512",
  });
}

/** The file, or the bytes that were given. Throws VmmError USAGE_KERNEL_UNREADABLE. */
export function readKernel(kernel: VmConfig["kernel"]): { kernelName: string; kernel: Uint8Array } {
  if ("bytes" in kernel) return { kernelName: "kernel", kernel: kernel.bytes };
  try {
    return { kernelName: kernel.path, kernel: readFileSync(kernel.path) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VmmError(`cannot read the kernel ${kernel.path}: ${why}`, {
      code: "USAGE_KERNEL_UNREADABLE",
      details: { path: kernel.path },
      hint: "give the path of a kernel image",
      cause,
    });
  }
}

function checkDevices(devices: readonly DeviceConfig[]): readonly DeviceConfig[] {
  for (const [index, device] of devices.entries()) {
    if (device.driver === "spapr-vscsi") placeDisks(device.id ?? `dev${index}`, device.disks);
    else if (device.driver !== "emulated" && device.driver !== "vfio-pci") {
      throw usage(
        `unknown device driver "${String((device as DeviceConfig).driver)}"`,
        "known: vfio-pci, emulated, spapr-vscsi",
      );
    } else if (device.driver === "vfio-pci" && (device.iommufd !== undefined || device.deviceFd !== undefined)) {
      throw usage(`device ${device.host} cannot use an iommufd`, "machine pseries takes devices through groups");
    }
  }
  return checkFunctions(devices);
}

/** Functions of the host: full addresses, each once, each in one IOMMU domain. Throws VmmError USAGE_CONFIG. */
export function checkFunctions<D extends { readonly driver: string }>(
  devices: readonly (D | VfioPciConfig)[],
): readonly (D | VfioPciConfig)[] {
  const seen = new Set<string>();
  return devices.map((device) => {
    if (!isFunction(device)) return device;
    if (!HOST_ADDRESS.test(device.host)) {
      throw usage(
        `"${device.host}" is not a PCI address`,
        "write domain:bus:device.function, for example 0001:01:00.0",
      );
    }
    const host = (device.host.length < 12 ? `0000:${device.host}` : device.host).toLowerCase();
    if (seen.has(host)) throw usage(`device ${host} is given twice`, "a function can be passed through once");
    if (device.container !== undefined && device.containerFd !== undefined) {
      throw usage(`device ${host} has both a container's name and its descriptor`, "give one of the two");
    }
    if (device.iommufd !== undefined && (device.container !== undefined || device.containerFd !== undefined)) {
      throw usage(`device ${host} has both an iommufd and a container`, "give one of the two");
    }
    if (device.deviceFd !== undefined && device.iommufd === undefined) {
      throw usage(`device ${host} has a node's descriptor but no iommufd`, "name the iommufd too");
    }
    seen.add(host);
    return { ...device, host };
  });
}

function isFunction(device: { readonly driver: string }): device is VfioPciConfig {
  return device.driver === "vfio-pci";
}
