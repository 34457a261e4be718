// What `minivmm attrs` and `minivmm memlock` are asked about: a VM in the words of `minivmm run`, which need not run. A
// kernel is not wanted, disks are not opened, and x86 machines may be described too.
import type { VfioPciConfig } from "@minivmm/vmm";
import { usageError } from "../errors.ts";
import { type DeviceRequest, parseDevices } from "./device.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";
import { MACHINES, type MachineRequest, parseMachine } from "./machine.ts";
import { splitCommas } from "./properties.ts";
import { suggestion } from "./suggest.ts";

export const CPU_VENDORS = ["intel", "amd", "power"] as const;
export type CpuVendor = (typeof CPU_VENDORS)[number];

export interface DescribeRequest {
  /** As it was written: "pseries", "pc", "q35". */
  readonly machine: string;
  readonly kind: "pseries" | "pc";
  /** `minivmm run` has this machine. */
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

/** Machines of x86, by the names that scripts have. */
const X86_MACHINES = ["pc", "q35"] as const;
const DEFAULT_DMA_WINDOW = 0x4000_0000;

/** Throws CliError USAGE_OPTION. */
export function parseDescribe(given: Given): DescribeRequest {
  const type = machineType(given.last("machine"));
  const x86 = (X86_MACHINES as readonly string[]).includes(type);
  const machine = parseMachine(x86 ? asPseries(given) : given);
  const cpuVendor = parseVendor(given.last("cpu-vendor"), type, x86);
  return {
    machine: type,
    kind: x86 ? "pc" : "pseries",
    runnable: (MACHINES as readonly string[]).includes(type),
    memoryBytes: wholePages(machine),
    kvm: machine.accel === "kvm",
    ddw: machine.ddw ?? true,
    dmaWindowBytes: windowSize(machine.dmaWindowBytes ?? DEFAULT_DMA_WINDOW),
    vfioAccel: machine.vfioAccel ?? true,
    host: parseHost(given.last("host")),
    devices: parseDevices(given),
    ...(cpuVendor === undefined ? {} : { cpuVendor }),
    json: given.flag("json"),
  };
}

/** The functions that are passed through. Throws CliError USAGE_OPTION for one that is given twice. */
export function passedFunctions({ devices }: DescribeRequest): VfioPciConfig[] {
  const passed = devices.flatMap((device) => (device.driver === "vfio-pci" ? [device] : []));
  const twice = passed.find(({ host }, index) => passed.findIndex((each) => each.host === host) !== index);
  if (twice !== undefined)
    throw usageError(`device ${twice.host} is given twice`, "a function can be passed through once");
  return passed;
}

function machineType(text = "pseries"): string {
  const [first = ""] = splitCommas(text);
  return first.startsWith("type=") ? first.slice("type=".length) : first;
}

/** The rest of an x86 machine's options means the same there; its CPUs do not matter here. */
function asPseries(given: Given): Given {
  const last = (name: string): string | undefined => {
    if (name === "cpu" || name === "smp") return undefined;
    const value = given.last(name);
    if (name !== "machine" || value === undefined) return value;
    return ["pseries", ...splitCommas(value).slice(1)].map((item) => item.replaceAll(",", ",,")).join(",");
  };
  return { flag: given.flag, all: given.all, last };
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
