// What `minivmm attrs` says: for each region of a VM, who pins it, whether DMA to it snoops, and what memory type the guest
// gets for each that it can ask for. What is not known before a start is said to be open; a running VM knows.
import type { Host } from "@minivmm/host";
import {
  type BarFacts,
  type ContainerFacts,
  type EffectiveType,
  effectiveType,
  type GuestCpu,
  type GuestPage,
  isAtLeast,
  type KvmDmaFacts,
  type KvmRules,
  kvmDmaFacts,
  pinnedBy,
  requestsOf,
} from "@minivmm/vmm/attributes";
import type { DescribeRequest } from "../options/describe-request.ts";
import { explainBar, explainRam, ramSnoops } from "./attrs-words.ts";
import { describedFacts } from "./described-facts.ts";
import type { BarAccess, BarOnBus, PageFacts, RamFacts, RegionNow } from "./page-facts.ts";

export interface RegionReport {
  /** "RAM", or a function's address (a model's id) and BAR. */
  readonly name: string;
  readonly memory: "ram" | "bar" | "port" | "rom";
  readonly bytes: number;
  /** Null for RAM. */
  readonly addressBits: 32 | 64 | null;
  readonly prefetchable: boolean | null;
  readonly access: BarAccess;
  /** What vfio-pci lets a monitor do with it; null for RAM, and for a model. */
  readonly mappable: BarFacts["mappable"] | null;
  readonly msixTable: boolean | null;
  readonly pinnedBy: string;
  readonly dmaSnoops: string;
  /** By request. Several: which one is not known before the start. Empty where there is no memory type. */
  readonly types: Readonly<Record<string, readonly EffectiveType[]>>;
  readonly explanation: string;
  /** Null before the start. */
  readonly now: RegionNow | null;
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
  /** Of a running VM: what there is to tell of all of it. */
  readonly now: readonly string[] | null;
}

/** The report on a described VM, whose host is open. */
export function describePages(
  host: Host,
  title: string,
  request: DescribeRequest,
  containers: readonly ContainerFacts[],
): AttrsReport {
  return reportPages(describedFacts(host, title, request, containers));
}

export function reportPages(facts: PageFacts): AttrsReport {
  const { machine, runnable, host, kvm, vendor, vendorAssumed, kernel, nonCoherent, containers, notes, now } = facts;
  const rules: KvmRules = isAtLeast(kernel, 6, 11) ? "6.12" : "6.1";
  const cpus = cpusOf(facts, rules);
  const count = nonCoherent.length === 1 ? (nonCoherent[0] ? 1 : 0) : null;
  const dma = kvmDmaFacts(vendor === "power" ? null : vendor, rules, count === null ? null : count === 1);
  return {
    machine,
    runnable,
    host,
    cpu: { vendor, assumed: vendorAssumed, accel: kvm ? "kvm" : "software" },
    kvm: facts.kind === "pc" && kvm ? { rules, rulesAssumed: kernel === null, nonCoherentDma: count, dma } : null,
    containers,
    regions: [
      ...facts.ram.map((ram) => ramRegion(ram, cpus, containers, count)),
      ...facts.bars.map((bar) => barRegion(bar, cpus)),
    ],
    notes,
    now,
  };
}

/** Every CPU that it may turn out to be. */
function cpusOf({ vendor, kvm, nonCoherent }: PageFacts, rules: KvmRules): readonly GuestCpu[] {
  if (!kvm) return [{ vendor, kvm: null }];
  return nonCoherent.map((counted) => ({ vendor, kvm: { rules, nonCoherent: counted } }));
}

function typesOf(cpus: readonly GuestCpu[], page: GuestPage): RegionReport["types"] {
  const requests = requestsOf((cpus[0] as GuestCpu).vendor);
  return Object.fromEntries(
    requests.map((request) => [request, [...new Set(cpus.map((cpu) => effectiveType(cpu, page, request)))]]),
  );
}

function ramRegion(
  { name, bytes, now }: RamFacts,
  cpus: readonly GuestCpu[],
  containers: readonly ContainerFacts[],
  nonCoherent: 0 | 1 | null,
): RegionReport {
  const pins = [...new Set(containers.map(({ iommu }) => pinnedBy(iommu)))];
  return {
    name,
    memory: "ram",
    bytes,
    addressBits: null,
    prefetchable: null,
    access: "mapped",
    mappable: null,
    msixTable: null,
    pinnedBy: pins.length === 0 ? "nobody: no function is passed through" : pins.join("; "),
    dmaSnoops: ramSnoops(containers),
    types: typesOf(cpus, { memory: "ram", access: "mapped" }),
    explanation: explainRam(cpus[0] as GuestCpu, nonCoherent),
    now,
  };
}

function barRegion(onBus: BarOnBus, cpus: readonly GuestCpu[]): RegionReport {
  const { name, bar, access, behind, gathered, now } = onBus;
  const { kind, size, prefetchable, mappable, msixTable } = bar;
  const memory = kind === "io" ? "port" : kind === "rom" ? "rom" : "bar";
  const typeless = memory === "port" || access === "none";
  return {
    name,
    memory,
    bytes: size,
    addressBits: kind === "mem64" ? 64 : 32,
    prefetchable,
    access,
    mappable: behind === "model" ? null : mappable,
    msixTable,
    pinnedBy: "nobody: device memory is not pinned or charged",
    dmaSnoops:
      memory === "bar" ? "only other devices could reach it; it is not mapped for them" : "DMA does not reach it",
    types: typeless ? {} : typesOf(cpus, { memory: "bar", access, gathered }),
    explanation: explainBar(cpus[0] as GuestCpu, onBus),
    now,
  };
}
