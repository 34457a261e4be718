// A PCI domain: one host bridge (PHB) with its root bus and the address windows it forwards.
import type { PciBus } from "./bus.ts";

export interface AddressWindow {
  /** Host physical (CPU) base address. */
  readonly base: number;
  readonly size: number;
  /** Bus address of `base`; default the same number. A POWER PHB shows its 32-bit window elsewhere than the CPU does. */
  readonly busBase?: number;
}

export interface AddressWindows {
  /** Non-prefetchable and 32-bit memory; bus addresses below 4 GiB. */
  readonly memory32: AddressWindow;
  /** 64-bit prefetchable memory. */
  readonly memory64: AddressWindow;
  readonly io: AddressWindow;
}

export interface PciDomain {
  readonly number: number;
  readonly windows: AddressWindows;
  /** Smallest alignment of a memory BAR: the host's page size keeps two BARs from sharing a page. */
  readonly barAlignment: number;
  readonly root: PciBus;
}
