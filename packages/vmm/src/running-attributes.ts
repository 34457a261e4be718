// What is behind the pages of a VM's guest at this moment, as plain data: `vm.attributes()` gives it, the command line makes
// the report of `minivmm attrs` from it. Described VMs are asked of their host instead (attributes/).
// Invariant: telling it changes nothing of the VM; what is counted is what summary() counts.
import type { ContainerFacts } from "./attributes/containers.ts";
import type { BarWrites } from "./pci/bar-writes.ts";

export interface RunningAttributes {
  readonly machine: "pseries" | "pc";
  readonly accelerator: "soft" | "kvm";
  /** Of the kernel that runs the guest, or would; both null when it does not say. */
  readonly cpu: {
    readonly vendor: "intel" | "amd" | "power" | null;
    /** Release: [major, minor]. */
    readonly kernel: readonly [number, number] | null;
  };
  /** KVM counts DMA that may bypass the caches; null when it is not known, false where nothing counts. */
  readonly nonCoherentDma: boolean | null;
  /** In the order of their addresses. */
  readonly ram: readonly RamNow[];
  /** IOMMU domains that RAM is mapped or registered for. */
  readonly containers: readonly ContainerNow[];
  /** VmLck of this process; null when the host does not tell. */
  readonly lockedBytes: number | null;
  /** In the order of slots. */
  readonly bars: readonly BarNow[];
  /** Stores that were combined so far; null where nothing combines. Only KVM's ring tells stores and bytes. */
  readonly combined: { readonly bursts: number; readonly stores?: number; readonly bytes?: number } | null;
}

/** A piece of guest RAM. */
export interface RamNow {
  /** Guest physical address. */
  readonly start: number;
  readonly bytes: number;
}

export interface ContainerNow
  extends Pick<ContainerFacts, "name" | "functions" | "groups" | "iommu" | "enforcesSnoop"> {
  /** Bytes of RAM that are pinned for it; null where that is the guest's to choose, page by page. */
  readonly pinnedBytes: number | null;
}

/** A BAR of a function on the guest's bus. */
export interface BarNow {
  /** The user's id of the device. */
  readonly device: string;
  /** Function of the host; null for a model. */
  readonly hostFunction: string | null;
  readonly index: number;
  readonly kind: "mem32" | "mem64" | "io";
  readonly bytes: number;
  readonly prefetchable: boolean;
  /** CPU address (a port number on pc), null while the guest does not decode it. */
  readonly address: number | null;
  /** Another BAR answers for some of these addresses. */
  readonly overlapped: boolean;
  /** Bytes that the guest reaches without an exit. */
  readonly directBytes: number;
  readonly msixTable: boolean;
  /** The device takes bursts of stores to it, if anybody combines them. */
  readonly burstable: boolean;
  /** Null before the first store that ended in the monitor. */
  readonly writes: BarWrites | null;
}

/** What the monitor's part of a machine knows by itself; the rest is asked of the host that runs it. */
export type MachineAttributes = Omit<RunningAttributes, "cpu">;
