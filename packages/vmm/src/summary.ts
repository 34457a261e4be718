// What a VM did, as plain data: `vm.summary()` gives it, the command line prints it. Counting costs an addition where
// the thing happens; everything else is computed when asked for.

import type { KvmDmaFacts } from "./attributes/kvm-dma.ts";
import type { CoherencySummary } from "./coherency/report.ts";
import type { BarWrites } from "./pci/bar-writes.ts";

/** A moment of the VM's life: milliseconds since its timeline begins, instructions retired by then. */
export interface TimelineMark {
  readonly name: string;
  readonly ms: number;
  readonly instructions: number;
}

/** Where a timeline begins. Default: the call that makes the VM. */
export interface TimelineStart {
  /** Milliseconds since 1970, such as `performance.timeOrigin` for the start of the process. */
  readonly origin: number;
  /** What has happened since, before the VM was asked for. */
  readonly marks?: readonly { readonly name: string; readonly ms: number }[];
}

/** TCE hypercalls by the stage that answered them. */
export interface TceCallSummary {
  /** Under KVM: inside the CPU's dispatch, and in the kernel. */
  readonly realMode?: Readonly<Record<string, number>>;
  readonly virtualMode?: Readonly<Record<string, number>>;
  readonly userSpace: Readonly<Record<string, number>>;
}

/** A DMA window of the machine, open or not any more. */
export interface TceWindowSummary {
  readonly liobn: number;
  /** Whose DMA goes through it. A window of the PCI bus is "vfio" once one of its functions is passed through. */
  readonly use: "vio" | "emulated" | "vfio";
  readonly open: boolean;
  /** KVM keeps the table and answers hypercalls on it. */
  readonly inKernel: boolean;
  /** Why KVM does not. */
  readonly reason?: string | undefined;
  /** Hypercalls on it that this program answered. */
  readonly userCalls: number;
}

/** Requests to the IOMMU of the host that a passthrough container made. */
export interface DmaSummary {
  mapCalls: number;
  unmapCalls: number;
  /** Refused by the host; the guest saw success, as on QEMU. */
  mapErrors: number;
  unmapErrors: number;
  /** Entries whose target is not guest RAM: nothing is mapped. */
  notRam: number;
  windowsCreated: number;
  windowsRemoved: number;
  windowErrors: number;
  /** Windows' tables that KVM writes for a group of the container. */
  linked: number;
  /** The first few failures in words. */
  messages: string[];
}

export interface DeviceSummary {
  readonly name: string;
  readonly slot: number;
  /** Bytes of its BARs that the guest reaches without an exit; absent where nothing can be so. */
  readonly directBytes?: number;
  /** What the guest's stores to its BARs became; absent where nobody counts. */
  readonly barWrites?: readonly BarWrites[];
  /** What the host refused for this device while the guest ran. */
  readonly problems: readonly string[];
}

/** A device on the VIO bus. */
export interface VioSummary {
  readonly name: string;
  /** Unit address, which is the LIOBN of its DMA window too. */
  readonly unit: number;
  /** Messages that the guest sent; those that could not be carried out. */
  readonly messages: number;
  readonly refused: number;
  /** SCSI commands to disks, those that failed (a unit attention counts), and the data of reads and writes. */
  readonly commands: number;
  readonly failures: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** What every machine tells. */
export interface MachineSummary extends CoherencySummary {
  readonly machine: string;
  readonly accelerator: "soft" | "kvm";
  readonly timeline: readonly TimelineMark[];
  readonly runMs: number;
  readonly devices: readonly DeviceSummary[];
  readonly interrupts: Readonly<Record<string, number>>;
  readonly exits: Readonly<Record<string, number>>;
  readonly console: { readonly outputBytes: number; readonly inputBytes: number; readonly inputDropped: number };
}

export interface PseriesSummary extends MachineSummary {
  readonly machine: "pseries";
  /** Time in which the guest had nothing to do. */
  readonly idleMs: number;
  readonly instructions: number;
  /** Million instructions per second of busy time. */
  readonly mips: number;
  /** Answered by this program. */
  readonly hypercalls: Readonly<Record<string, number>>;
  /** Answered before they reached this program; only under KVM. */
  readonly kernelHypercalls?: Readonly<Record<string, number>>;
  readonly rtasCalls: Readonly<Record<string, number>>;
  readonly tce: TceCallSummary;
  readonly windows: readonly TceWindowSummary[];
  /** One a container that devices are passed through with. */
  readonly dma: readonly DmaSummary[];
  readonly vio: readonly VioSummary[];
  /** The CPU engine's own counters. */
  readonly cpu: Readonly<Record<string, unknown>>;
}

/** An IOMMU domain that functions of the host were passed through with. */
export interface DomainSummary {
  /** "default", the name that was given, "descriptor N", or "iommufd ID". */
  readonly name: string;
  readonly functions: readonly string[];
  /** Bytes of guest RAM that are pinned for it. */
  readonly mappedBytes: number;
  /** DMA snoops whatever a device asks for; null when the kernel does not say. */
  readonly enforcesSnoop: boolean | null;
}

export interface PcSummary extends MachineSummary {
  readonly machine: "pc";
  readonly cpus: number;
  readonly domains: readonly DomainSummary[];
  /** What KVM makes of the DMA of passed-through functions; absent where it has been told of none. */
  readonly kvmDma?: KvmDmaFacts;
  /** Stores to models that KVM gathered, and the bursts that they became; absent where every device is a real one. */
  readonly combined?: { readonly stores: number; readonly bursts: number; readonly bytes: number };
  /** Accesses that reached no device. */
  readonly unclaimed: { readonly ports: number; readonly memory: number };
  /** What KVM did not take of the passed-through devices, in words. */
  readonly problems: readonly string[];
}

export type VmSummary = PseriesSummary | PcSummary;

export function newDmaSummary(): DmaSummary {
  return {
    mapCalls: 0,
    unmapCalls: 0,
    mapErrors: 0,
    unmapErrors: 0,
    notRam: 0,
    windowsCreated: 0,
    windowsRemoved: 0,
    windowErrors: 0,
    linked: 0,
    messages: [],
  };
}

/** Marks moments, each name once. */
export class Timeline {
  readonly marks: TimelineMark[] = [];
  /** Milliseconds since 1970 from which moments are counted; the same in every thread. */
  readonly origin: number;
  private readonly retired: () => number;

  constructor(retired: () => number, start: TimelineStart = { origin: performance.timeOrigin + performance.now() }) {
    const { origin, marks = [] } = start;
    this.retired = retired;
    this.origin = origin;
    for (const { name, ms } of marks) this.marks.push({ name, ms, instructions: 0 });
  }

  mark(name: string): void {
    if (this.marks.some((mark) => mark.name === name)) return;
    this.marks.push({
      name,
      ms: performance.timeOrigin + performance.now() - this.origin,
      instructions: this.retired(),
    });
  }
}
