// What is known of a described VM's pages before it starts: its host is asked what can be asked without a VM.
// Invariant: nothing is opened here but files that anybody may read; the rest is said to be open.
import type { Host } from "@minivmm/host";
import { barsOf, type ContainerFacts, cpuVendor, kernelRelease } from "@minivmm/vmm/attributes";
import type { DescribeRequest } from "../options/describe-request.ts";
import type { BarOnBus, PageFacts } from "./page-facts.ts";

export function describedFacts(
  host: Host,
  title: string,
  request: DescribeRequest,
  containers: readonly ContainerFacts[],
): PageFacts {
  const { machine, kind, runnable, kvm, memoryBytes } = request;
  const x86 = kind === "pc";
  const found = cpuVendor(host);
  const own = found === "power" ? null : found;
  const vendorAssumed = x86 && request.cpuVendor === undefined && own === null;
  return {
    ...{ machine, kind, runnable, kvm, containers },
    host: title,
    vendor: x86 ? (request.cpuVendor ?? own ?? "intel") : "power",
    vendorAssumed,
    kernel: kernelRelease(host),
    nonCoherent: nonCoherence(containers),
    ram: [{ name: "RAM", bytes: memoryBytes, now: null }],
    bars: containers.flatMap(({ functions }) => functions.flatMap((bdf) => barsOnBus(host, bdf, request))),
    notes: notesOf(host, request, containers, vendorAssumed),
    now: null,
  };
}

/** Whether KVM will count a non-coherent device: both where a container could not be asked. */
function nonCoherence(containers: readonly ContainerFacts[]): readonly boolean[] {
  if (containers.some(({ enforcesSnoop }) => enforcesSnoop === false)) return [true];
  return containers.some(({ enforcesSnoop }) => enforcesSnoop === null) ? [false, true] : [false];
}

/** The monitor has machine pseries answer each access to a BAR itself, and KVM map those of machine pc. */
function barsOnBus(host: Host, bdf: string, { kind, kvm }: DescribeRequest): BarOnBus[] {
  return barsOf(host, bdf).map((bar) => ({
    name: `${bdf} ${bar.kind === "rom" ? "ROM" : `BAR ${bar.index}`}`,
    bar,
    access: kind === "pc" && kvm && bar.mappable !== "no" ? "mapped" : "trapped",
    behind: "vfio-pci",
    gathered: kind === "pseries" && !kvm && bar.prefetchable,
    now: null,
  }));
}

function notesOf(
  host: Host,
  { kind, machine, runnable, kvm, host: { kind: hostKind } }: DescribeRequest,
  containers: readonly ContainerFacts[],
  assumed: boolean,
): string[] {
  const notes = containers.flatMap(({ name, why }) =>
    why === null ? [] : [`container ${name} could not be asked: ${why}`],
  );
  if (!runnable) notes.push(describedOnly(machine));
  if (assumed) notes.push("the host does not name its CPU: Intel is assumed (-cpu-vendor amd for the other)");
  if (kind === "pc" && kvm && host.arch !== "x86_64") notes.push(`the host is ${host.arch}: its KVM runs no x86 guest`);
  if (kind === "pseries" && kvm && host.arch !== "ppc64le") {
    notes.push(`the host is ${host.arch}: its KVM runs no POWER guest`);
  }
  if (kind === "pseries" && containers.some(({ iommu }) => iommu === "type1")) {
    notes.push("machine pseries cannot pass functions through here: the host's IOMMU is not of the sPAPR kind");
  }
  if (kind === "pc" && kvm && hostKind === "model") {
    notes.push(
      "this is what a kernel like the modelled one does; a run on a modelled host has its CPU in this machine's KVM, which knows nothing of modelled devices: BARs are trapped, RAM is WB",
    );
  }
  return notes;
}

/** Of a machine pc with its CPU in software. */
export function describedOnly(machine: string): string {
  return `machine ${machine} is described only: \`minivmm run\` has it in KVM, not in software`;
}
