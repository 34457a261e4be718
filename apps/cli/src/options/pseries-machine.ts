// What QEMU users write for pseries: dynamic DMA windows, guest time, who answers TCE hypercalls, the default window.
import { usageError } from "../errors.ts";
import { type Accel, parseAccel } from "./accel.ts";
import type { Given } from "./given.ts";
import { type CheckRequest, readGlobals } from "./iommu-check.ts";
import { Properties } from "./properties.ts";
import { parseSize } from "./size.ts";
import { suggestion } from "./suggest.ts";

export interface PseriesRequest {
  readonly machine: "pseries";
  readonly memoryBytes: number;
  readonly clock?: "wall" | "instructions";
  readonly accel?: Accel;
  /** Under KVM: let the kernel answer TCE hypercalls of passed-through devices where it can. */
  readonly vfioAccel?: boolean;
  /** Offer dynamic DMA windows to the guest. */
  readonly ddw?: boolean;
  readonly dmaWindowBytes?: number;
  /** What devices do with memory is looked at. */
  readonly coherency?: CheckRequest;
}

const PHB = "spapr-pci-host-bridge";

/** `properties` are -machine's, of which the type has been read. Throws CliError USAGE_OPTION. */
export function readPseries(given: Given, properties: Properties, memoryBytes: number): PseriesRequest {
  const clock = properties.oneOf("clock", ["wall", "instructions"]);
  const ddw = properties.onOff("ddw");
  const vfioAccel = properties.onOff("vfio-accel");
  const accel = parseAccel(given, properties.text("accel"));
  properties.finish();
  checkCpu(given.last("cpu"), accel);
  checkSmp(given.last("smp"));
  const { check: coherency, others } = readGlobals(given.all("global"), "pseries");
  if (coherency !== undefined && accel === "kvm") {
    throw usageError(
      "-global iommu.check: KVM tells nothing of caches, and keeps DMA windows to itself",
      "leave out -enable-kvm: the CPU in software can be looked at",
    );
  }
  const request = { machine: "pseries", memoryBytes, clock, accel, vfioAccel, coherency, ...parseGlobals(others, ddw) };
  return Object.fromEntries(
    Object.entries(request).filter(([, value]) => value !== undefined),
  ) as unknown as PseriesRequest;
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

function parseGlobals(globals: readonly string[], machineDdw: boolean | undefined) {
  let ddw = machineDdw;
  let dmaWindowBytes: number | undefined;
  for (const text of globals) {
    const match = /^([^.=]+)\.([^=]+)=(.*)$/.exec(text);
    if (match === null)
      throw usageError(`-global: "${text}" is not DRIVER.PROPERTY=VALUE`, `for example ${PHB}.ddw=off`);
    const [, driver = "", property = "", value = ""] = match;
    if (driver !== PHB) {
      throw usageError(
        `-global: unknown driver "${driver}"`,
        suggestion(driver, [PHB, "iommu"], `known: ${PHB}, iommu`),
      );
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
