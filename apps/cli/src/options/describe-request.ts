// What `minivmm attrs` and `minivmm memlock` are asked about: a VM in the words of `minivmm run`, which need not run. A
// kernel is not wanted, disks are not opened, and an x86 machine may have a CPU in software.
import type { VfioPciConfig } from "@minivmm/vmm";
import { usageError } from "../errors.ts";
import { type DeviceRequest, parseDevices } from "./device.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";
import { type MachineRequest, readMachine } from "./machine.ts";
import { splitCommas } from "./properties.ts";
import type { PseriesRequest } from "./pseries-machine.ts";
import { suggestion } from "./suggest.ts";

export const CPU_VENDORS = ["intel", "amd", "power"] as const;
export type CpuVendor = (typeof CPU_VENDORS)[number];

export interface DescribeRequest {
  /** As it was written: "pseries", "pc", "q35". */
  readonly machine: string;
  readonly kind: "pseries" | "pc";
  /** `minivmm run` has this machine: machine pc only in KVM. */
  readonly runnable: boolean;
  readonly memoryBytes: number;
  readonly kvm: boolean;
  readonly ddw: boolean;
  readonly dmaWindowBytes: number;
  readonly vfioAccel: boolean;
  readonly host: HostRequest;
  readonly devices: readonly DeviceRequest[];
  readonly cpuVendor?: CpuVendor;
  readonly json: boolean;
}

const DEFAULT_DMA_WINDOW = 0x4000_0000;
/** Of these a pc has none. */
const NO_WINDOWS: Partial<PseriesRequest> = {};

/** Throws CliError USAGE_OPTION. */
export function parseDescribe(given: Given): DescribeRequest {
  const machine = readMachine(given);
  const kind = machine.machine;
  const name = machineName(given.last("machine"));
  const kvm = machine.accel === "kvm";
  const { ddw, dmaWindowBytes, vfioAccel } = machine.machine === "pseries" ? machine : NO_WINDOWS;
  const cpuVendor = parseVendor(given.last("cpu-vendor"), name, kind === "pc");
  return {
    machine: name,
    kind,
    runnable: kind === "pseries" || kvm,
    memoryBytes: wholePages(machine),
    kvm,
    ddw: ddw ?? true,
    dmaWindowBytes: windowSize(dmaWindowBytes ?? DEFAULT_DMA_WINDOW),
    vfioAccel: vfioAccel ?? true,
    host: parseHost(given.last("host")),
    devices: parseDevices(given, kind),
    ...(cpuVendor === undefined ? {} : { cpuVendor }),
    json: given.flag("json"),
  };
}

/**
 * The functions that are passed through. An iommufd is asked about as a container of its own: the IOMMU domain is alike.
 * Throws CliError USAGE_OPTION for one that is given twice.
 */
export function passedFunctions({ devices }: DescribeRequest): VfioPciConfig[] {
  const passed = devices.flatMap((device) => (device.driver === "vfio-pci" ? [device] : []));
  const twice = passed.find(({ host }, index) => passed.findIndex((each) => each.host === host) !== index);
  if (twice !== undefined)
    throw usageError(`device ${twice.host} is given twice`, "a function can be passed through once");
  return passed.map(({ iommufd, deviceFd: _, ...rest }) =>
    iommufd === undefined ? rest : { ...rest, container: `iommufd ${iommufd.id}` },
  );
}

function machineName(text = "pseries"): string {
  const [first = ""] = splitCommas(text);
  return first.startsWith("type=") ? first.slice("type=".length) : first;
}

function parseVendor(text: string | undefined, machine: string, x86: boolean): CpuVendor | undefined {
  if (text === undefined) return undefined;
  const found = CPU_VENDORS.find((vendor) => vendor === text);
  if (found === undefined) {
    throw usageError(
      `unknown CPU vendor "${text}"`,
      suggestion(text, CPU_VENDORS, `one of ${CPU_VENDORS.join(", ")}`, (near) => `-cpu-vendor ${near}`),
    );
  }
  if ((found === "power") !== x86) return found;
  throw usageError(
    `-cpu-vendor ${found}: machine ${machine} has no such CPU`,
    x86 ? "write intel or amd" : "leave it out, or describe an x86 machine with -M pc",
  );
}

const MIB = 2 ** 20;

function wholePages({ memoryBytes }: MachineRequest): number {
  if (memoryBytes % MIB === 0) return memoryBytes;
  throw usageError(`guest memory of ${memoryBytes} bytes is not a whole number of MiB`, "for example -m 512");
}

function windowSize(bytes: number): number {
  const log = Math.log2(bytes);
  if (Number.isInteger(log) && log >= 20 && log <= 31) return bytes;
  throw usageError(`a default DMA window of ${bytes} bytes`, "a power of two from 1 MiB to 2 GiB");
}
