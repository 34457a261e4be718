// -machine, -cpu, -smp, -m and -global: what the machine is. Everything QEMU users write for pseries is
// understood; what this machine does not have is refused with the reason, never ignored.
import { usageError } from "../errors.ts";
import { type Accel, parseAccel } from "./accel.ts";
import type { Given } from "./given.ts";
import { Properties } from "./properties.ts";
import { parseSize } from "./size.ts";
import { suggestion } from "./suggest.ts";

export interface MachineRequest {
  readonly machine: "pseries";
  readonly memoryBytes: number;
  readonly clock?: "wall" | "instructions";
  readonly accel?: Accel;
  /** Under KVM: let the kernel answer TCE hypercalls of passed-through devices where it can. */
  readonly vfioAccel?: boolean;
  /** Offer dynamic DMA windows to the guest. */
  readonly ddw?: boolean;
  readonly dmaWindowBytes?: number;
}

export const MACHINES = ["pseries"] as const;
const DEFAULT_MEMORY = 512 * 2 ** 20;
const PHB = "spapr-pci-host-bridge";

/** Throws CliError USAGE_OPTION. */
export function parseMachine(given: Given): MachineRequest {
  const { type: machine, clock, ddw, vfioAccel, accel: machineAccel } = parseMachineOption(given.last("machine"));
  const accel = parseAccel(given, machineAccel);
  checkCpu(given.last("cpu"), accel);
  checkSmp(given.last("smp"));
  const memoryBytes = parseMemory(given.last("memory"));
  const request = { machine, memoryBytes, clock, accel, vfioAccel, ...parseGlobals(given, ddw) };
  return Object.fromEntries(
    Object.entries(request).filter(([, value]) => value !== undefined),
  ) as unknown as MachineRequest;
}

function parseMachineOption(text: string | undefined) {
  const properties = new Properties("-machine", text ?? "pseries", "type");
  const type = properties.required("type", "pseries");
  if (type !== "pseries") {
    throw usageError(
      `unknown machine "${type}"`,
      suggestion(type, MACHINES, `the machines are: ${MACHINES.join(", ")}`, (name) => `-M ${name}`),
      { machine: type },
    );
  }
  const clock = properties.oneOf("clock", ["wall", "instructions"]);
  const ddw = properties.onOff("ddw");
  const vfioAccel = properties.onOff("vfio-accel");
  const accel = properties.text("accel");
  properties.finish();
  return { type: "pseries" as const, clock, ddw, vfioAccel, accel };
}

/** -m: bytes. Throws CliError USAGE_OPTION. */
export function parseMemory(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MEMORY;
  const properties = new Properties("-m", text, "size");
  const bytes = properties.size("size", "M");
  properties.finish();
  if (bytes === undefined) throw usageError("-m: size is missing", "write -m 512 or -m size=512M");
  return bytes;
}

function checkCpu(model: string | undefined, accel: Accel | undefined): void {
  if (model === undefined || /^power9(_v2\.[0-3])?$/i.test(model)) return;
  // The host's own is what KVM gives.
  if (model === "host" && accel === "kvm") return;
  throw usageError(`-cpu: unknown CPU model "${model}"`, "the CPU is power9", { model });
}

function checkSmp(text: string | undefined): void {
  if (text === undefined) return;
  const properties = new Properties("-smp", text, "cpus");
  for (const key of ["cpus", "sockets", "cores", "threads", "maxcpus"]) {
    const value = properties.text(key);
    if (value === undefined || value === "1") continue;
    const why =
      /^\d+$/.test(value) && value !== "0" ? "machine pseries has one CPU" : `"${value}" is not a count of CPUs`;
    throw usageError(`-smp ${key}=${value}: ${why}`, "write -smp 1 or leave it out");
  }
  properties.finish();
}

function parseGlobals(given: Given, machineDdw: boolean | undefined) {
  let ddw = machineDdw;
  let dmaWindowBytes: number | undefined;
  for (const text of given.all("global")) {
    const match = /^([^.=]+)\.([^=]+)=(.*)$/.exec(text);
    if (match === null)
      throw usageError(`-global: "${text}" is not DRIVER.PROPERTY=VALUE`, `for example ${PHB}.ddw=off`);
    const [, driver = "", property = "", value = ""] = match;
    if (driver !== PHB) {
      throw usageError(`-global: unknown driver "${driver}"`, suggestion(driver, [PHB], `known: ${PHB}`));
    }
    const properties = new Properties(`-global ${PHB}`, `${property}=${value.replaceAll(",", ",,")}`);
    ddw = properties.onOff("ddw") ?? ddw;
    // QEMU's name has underscores, unlike nearly all others.
    for (const name of ["dma_win_size", "dma-win-size"]) {
      const size = properties.text(name);
      if (size !== undefined) dmaWindowBytes = parseSize(size, "B", `-global ${PHB}.${name}`);
    }
    properties.finish();
  }
  return { ddw, dmaWindowBytes };
}
