// What a report on a VM's pages is made of, be the VM described (its host was asked, described-facts.ts) or running (it was
// asked itself, running-facts.ts).
import type { BarFacts, ContainerFacts, GuestCpu } from "@minivmm/vmm/attributes";

/** Of a running VM only. */
export interface RegionNow {
  /** Where the guest has it: a physical address, or a port on pc. Null while it does not decode it. */
  readonly address: number | null;
  /** Further lines for people: title and words. */
  readonly details: readonly (readonly [title: string, words: string])[];
}

export interface RamFacts {
  readonly name: string;
  readonly bytes: number;
  readonly now: RegionNow | null;
}

/** "none": the guest does not decode it. */
export type BarAccess = "mapped" | "trapped" | "none";

export interface BarOnBus {
  readonly name: string;
  readonly bar: BarFacts;
  readonly access: BarAccess;
  /** Who answers accesses that are trapped. */
  readonly behind: "vfio-pci" | "model";
  /** Stores that the guest wants combined are: by the software CPU, or by KVM's ring. */
  readonly gathered: boolean;
  readonly now: RegionNow | null;
}

export interface PageFacts {
  /** As it was written: "pseries", "pc", "q35". */
  readonly machine: string;
  readonly kind: "pseries" | "pc";
  readonly runnable: boolean;
  readonly host: string;
  readonly kvm: boolean;
  readonly vendor: GuestCpu["vendor"];
  readonly vendorAssumed: boolean;
  readonly kernel: readonly [number, number] | null;
  /** Whether KVM counts DMA that may bypass the caches: both where it is not known. */
  readonly nonCoherent: readonly boolean[];
  readonly containers: readonly ContainerFacts[];
  readonly ram: readonly RamFacts[];
  readonly bars: readonly BarOnBus[];
  readonly notes: readonly string[];
  /** Of a running VM: what there is to tell of all of it. */
  readonly now: readonly string[] | null;
}
