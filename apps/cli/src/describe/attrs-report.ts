// What `minivmm attrs` says: for each region of a described VM, who pins it, whether DMA to it snoops, and what memory type
// the guest gets for each that it can ask for. The host is asked what can be known before a start; the rest is said to be
// open.
import type { Host } from "@minivmm/host";
import {
  type BarFacts,
  barsOf,
  type ContainerFacts,
  cpuVendor,
  type EffectiveType,
  effectiveType,
  type GuestCpu,
  type GuestPage,
  isAtLeast,
  type KvmDmaFacts,
  type KvmRules,
  kernelRelease,
  kvmDmaFacts,
  pinnedBy,
  requestsOf,
} from "@minivmm/vmm/attributes";
import type { DescribeRequest } from "../options/describe-request.ts";
import { explainBar, explainRam, ramSnoops } from "./attrs-words.ts";

export interface RegionReport {
  /** "RAM", or a function's address and BAR. */
  readonly name: string;
  readonly memory: "ram" | "bar" | "port" | "rom";
  readonly bytes: number;
  /** Null for RAM. */
  readonly addressBits: 32 | 64 | null;
  readonly prefetchable: boolean | null;
  readonly access: GuestPage["access"];
  /** What vfio-pci lets a monitor do with it; null for RAM. */
  readonly mappable: BarFacts["mappable"] | null;
  readonly msixTable: boolean | null;
  readonly pinnedBy: string;
  readonly dmaSnoops: string;
  /** By request. Several: which one is not known before the start. Empty where there is no memory type. */
  readonly types: Readonly<Record<string, readonly EffectiveType[]>>;
  readonly explanation: string;
}

export interface AttrsReport {
  readonly machine: string;
  readonly runnable: boolean;
  readonly host: string;
  readonly cpu: { readonly vendor: GuestCpu["vendor"]; readonly assumed: boolean; readonly accel: "software" | "kvm" };
  /** KVM's count of devices whose DMA may bypass the caches, and what follows: only x86 KVM has one, null where it is not known. */
  readonly kvm: {
    readonly rules: KvmRules;
    readonly rulesAssumed: boolean;
    readonly nonCoherentDma: 0 | 1 | null;
    readonly dma: KvmDmaFacts;
  } | null;
  readonly containers: readonly ContainerFacts[];
  readonly regions: readonly RegionReport[];
  /** What stands in the way of knowing, or of starting. */
  readonly notes: readonly string[];
}

/** The report on a host that is open. */
export function describePages(
  host: Host,
  title: string,
  request: DescribeRequest,
  containers: readonly ContainerFacts[],
): AttrsReport {
  const x86 = request.kind === "pc";
  const found = cpuVendor(host);
  const own = found === "power" ? null : found;
  const vendor = x86 ? (request.cpuVendor ?? own ?? "intel") : "power";
  const release = kernelRelease(host);
  const rules: KvmRules = isAtLeast(release, 6, 11) ? "6.12" : "6.1";
  const counts = nonCoherence(containers);
  const cpus = cpusOf(vendor, request.kvm, rules, counts);
  const count = counts.length === 1 ? (counts[0] ? 1 : 0) : null;
  const dma = kvmDmaFacts(vendor === "power" ? null : vendor, rules, count === null ? null : count === 1);
  const cpu = { vendor, assumed: x86 && request.cpuVendor === undefined && own === null } as const;
  return {
    machine: request.machine,
    runnable: request.runnable,
    host: title,
    cpu: { ...cpu, accel: request.kvm ? "kvm" : "software" },
    kvm: x86 && request.kvm ? { rules, rulesAssumed: release === null, nonCoherentDma: count, dma } : null,
    containers,
    regions: [
      ramRegion(request, cpus, containers, count),
      ...containers.flatMap(({ functions }) =>
        functions.flatMap((bdf) => barsOf(host, bdf).map((bar) => barRegion(bdf, bar, request, cpus))),
      ),
    ],
    notes: notesOf(host, request, containers, cpu.assumed),
  };
}

/** Whether KVM will count a non-coherent device: both where a container could not be asked. */
function nonCoherence(containers: readonly ContainerFacts[]): readonly boolean[] {
  if (containers.some(({ enforcesSnoop }) => enforcesSnoop === false)) return [true];
  return containers.some(({ enforcesSnoop }) => enforcesSnoop === null) ? [false, true] : [false];
}

/** Every CPU that it may turn out to be. */
function cpusOf(
  vendor: GuestCpu["vendor"],
  kvm: boolean,
  rules: KvmRules,
  counts: readonly boolean[],
): readonly GuestCpu[] {
  if (!kvm) return [{ vendor, kvm: null }];
  return counts.map((nonCoherent) => ({ vendor, kvm: { rules, nonCoherent } }));
}

function typesOf(cpus: readonly GuestCpu[], page: GuestPage): RegionReport["types"] {
  const requests = requestsOf((cpus[0] as GuestCpu).vendor);
  return Object.fromEntries(
    requests.map((request) => [request, [...new Set(cpus.map((cpu) => effectiveType(cpu, page, request)))]]),
  );
}

function ramRegion(
  request: DescribeRequest,
  cpus: readonly GuestCpu[],
  containers: readonly ContainerFacts[],
  nonCoherent: 0 | 1 | null,
): RegionReport {
  const pins = [...new Set(containers.map(({ iommu }) => pinnedBy(iommu)))];
  return {
    name: "RAM",
    memory: "ram",
    bytes: request.memoryBytes,
    addressBits: null,
    prefetchable: null,
    access: "mapped",
    mappable: null,
    msixTable: null,
    pinnedBy: pins.length === 0 ? "nobody: no function is passed through" : pins.join("; "),
    dmaSnoops: ramSnoops(containers),
    types: typesOf(cpus, { memory: "ram", access: "mapped" }),
    explanation: explainRam(cpus[0] as GuestCpu, nonCoherent),
  };
}

/** The monitor has machine pseries answer each access to a BAR itself, and KVM map those of machine pc. */
function barRegion(bdf: string, bar: BarFacts, request: DescribeRequest, cpus: readonly GuestCpu[]): RegionReport {
  const { kind, index, size, prefetchable, mappable, msixTable } = bar;
  const access = request.kind === "pc" && request.kvm && mappable !== "no" ? "mapped" : "trapped";
  const memory = kind === "io" ? "port" : kind === "rom" ? "rom" : "bar";
  return {
    name: `${bdf} ${kind === "rom" ? "ROM" : `BAR ${index}`}`,
    memory,
    bytes: size,
    addressBits: kind === "mem64" ? 64 : 32,
    prefetchable,
    access,
    mappable,
    msixTable,
    pinnedBy: "nobody: device memory is not pinned or charged",
    dmaSnoops:
      memory === "bar" ? "only other devices could reach it; it is not mapped for them" : "DMA does not reach it",
    types: memory === "port" ? {} : typesOf(cpus, { memory: "bar", access, prefetchable }),
    explanation: explainBar(cpus[0] as GuestCpu, bar, access),
  };
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
