// What is behind the pages of a guest of machine pseries as it runs. Source: Power ISA 3.0B book III 5.7.10 for what follows
// from it, which is told elsewhere (attributes/).
// Invariant: nothing is changed, and whatever the host does not say is null.
import { type Host, lockedBytes } from "@minivmm/host";
import { VFIO_DMA_CC_IOMMU } from "@minivmm/vfio-core";
import type { Accelerator } from "../../accel/accelerator.ts";
import { kernelRelease } from "../../attributes/host-facts.ts";
import type { SpaprSession } from "../../pci/spapr-session.ts";
import type { ContainerNow, RunningAttributes } from "../../running-attributes.ts";
import type { Phb } from "./phb.ts";

export interface PseriesContainer {
  /** As ContainerFacts has it. */
  readonly name: string;
  readonly functions: readonly string[];
  readonly session: SpaprSession;
}

/** The CPU is POWER's, be it in software or in KVM, which counts no DMA there. */
export function pseriesAttributes(
  host: Host,
  { name, ram, exits }: Accelerator,
  phb: Phb,
  containers: readonly PseriesContainer[],
): RunningAttributes {
  return {
    machine: "pseries",
    accelerator: name,
    cpu: { vendor: "power", kernel: kernelRelease(host) },
    nonCoherentDma: false,
    ram: [{ start: 0, bytes: ram.size }],
    containers: containers.flatMap((each) => containerNow(each, ram.size) ?? []),
    lockedBytes: lockedBytes(host.readFile("/proc/self/status")),
    bars: phb.barsNow(),
    combined: name === "soft" ? { bursts: exits.burst ?? 0 } : null,
  };
}

function containerNow({ name, functions, session }: PseriesContainer, ramBytes: number): ContainerNow | undefined {
  const { kind, heldGroups } = session;
  if (kind === undefined) return undefined;
  return {
    name,
    functions,
    groups: heldGroups.map(({ id }) => id),
    iommu: kind,
    enforcesSnoop: session.checkExtension(VFIO_DMA_CC_IOMMU) > 0,
    // Version 1 pins what the guest has mapped.
    pinnedBytes: kind === "spapr-v2" ? ramBytes : null,
  };
}
