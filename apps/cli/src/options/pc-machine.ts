// What QEMU users write for pc and q35: the host's CPU, in KVM, some of them. Switches of parts that this machine does not
// have may be off, as they are in many scripts; pseries' own options are refused by name.
import { usageError } from "../errors.ts";
import { type Accel, parseAccel } from "./accel.ts";
import type { Given } from "./given.ts";
import { type CheckRequest, readGlobals } from "./iommu-check.ts";
import type { Properties } from "./properties.ts";
import { parseSmp } from "./smp.ts";

export interface PcRequest {
  readonly machine: "pc";
  readonly memoryBytes: number;
  readonly cpus: number;
  /** "soft" can be described and not run. */
  readonly accel: Accel;
  /** What devices do with memory is looked at. */
  readonly coherency?: CheckRequest;
}

/** Properties of -machine whose only possible value says what is so anyway. */
const SETTLED: readonly (readonly [key: string, value: boolean, why: string])[] = [
  ["usb", false, "there is no USB controller"],
  ["vmport", false, "there is no VMware port"],
  ["smm", false, "there is no system management mode"],
  ["hpet", false, "there is no HPET"],
  ["graphics", false, "there is no display"],
  ["kernel-irqchip", true, "the interrupt controllers are KVM's"],
  ["kernel_irqchip", true, "the interrupt controllers are KVM's"],
];
const OF_PSERIES: Readonly<Record<string, string>> = {
  ddw: "devices of machine pc have no DMA windows",
  clock: "time in machine pc is the host's",
  "vfio-accel": "machine pc has no TCE hypercalls",
};

/** `properties` are -machine's, of which the type has been read. Throws CliError USAGE_OPTION. */
export function readPc(given: Given, properties: Properties, memoryBytes: number): PcRequest {
  for (const [key, why] of Object.entries(OF_PSERIES)) {
    if (properties.has(key))
      throw usageError(`-machine: ${key} is an option of machine pseries`, `leave it out: ${why}`);
  }
  const accel = parseAccel(given, properties.text("accel")) ?? "kvm";
  for (const [key, value, why] of SETTLED) {
    if (properties.onOff(key) === !value) {
      throw usageError(`-machine: ${key}=${value ? "off" : "on"} is not possible`, `leave it out: ${why}`);
    }
  }
  properties.finish();
  checkCpu(given.last("cpu"));
  const { check, others } = readGlobals(given.all("global"), "pc");
  const [global] = others;
  if (global !== undefined) {
    throw usageError(`-global ${global}: machine pc has no such property`, "leave -global out");
  }
  const coherency = check === undefined ? {} : { coherency: check };
  return { machine: "pc", memoryBytes, cpus: parseSmp(given.last("smp")), accel, ...coherency };
}

/** QEMU's `max` is `host` under KVM. */
function checkCpu(text: string | undefined): void {
  if (text === undefined || text === "host" || text === "max") return;
  const [model = "", ...features] = text.split(",");
  if (features.length > 0 && (model === "host" || model === "max")) {
    throw usageError(`-cpu ${text}: features cannot be chosen`, `write -cpu ${model}: the guest has what KVM offers`);
  }
  throw usageError(`-cpu: machine pc cannot have the CPU "${model}"`, "write -cpu host, or leave it out", { model });
}
