// A bus: its number, the bridge it hangs from (none for a root bus) and its functions in enumeration order.
// The order matters to the kernel's walks (hot reset lists, group building), so it is kept as an array.
import type { PciDomain } from "./domain.ts";
import type { PciFunction } from "./function.ts";

export class PciBus {
  readonly domain: PciDomain;
  readonly number: number;
  /** The bridge above, null for the root bus of a domain. */
  readonly bridge: PciFunction | null;
  readonly functions: PciFunction[] = [];
  /** Highest bus number below, this one included. */
  subordinate: number;

  constructor(domain: PciDomain, number: number, bridge: PciFunction | null) {
    this.domain = domain;
    this.number = number;
    this.bridge = bridge;
    this.subordinate = number;
  }

  get isRoot(): boolean {
    return this.bridge === null;
  }

  get parent(): PciBus | null {
    return this.bridge?.bus ?? null;
  }

  /** Every function on this bus and below, a bridge before what it leads to (pci_walk_bus order). */
  *walk(): Generator<PciFunction> {
    for (const fn of this.functions) {
      yield fn;
      if (fn.secondary) yield* fn.secondary.walk();
    }
  }
}
