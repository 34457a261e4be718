// The PCI hardware of one host: domains, buses, functions, bridges and IOMMU groups, built from plain data the way
// firmware and kernel find it: buses are numbered depth first, BARs assigned, functions added, groups formed in add order.
// Virtual functions come and go later.
import { formatBdf, parseBdf } from "../bdf.ts";
import { startUp } from "../boot/start-up.ts";
import { PciError } from "../error.ts";
import { buildAcsGroups, joinAcsGroup } from "../iommu/acs-groups.ts";
import { bindDriver } from "../iommu/binding.ts";
import { needsOverride } from "../iommu/managed-drivers.ts";
import { leaveGroup } from "../iommu/membership.ts";
import { buildPeGroups, joinPeGroup } from "../iommu/pe-groups.ts";
import { enumerate } from "./build.ts";
import type { DeviceFactories, Grouping, TopologyDescription } from "./description.ts";
import type { DmaWatch } from "./dma-watch.ts";
import { assignAddresses } from "./firmware.ts";
import type { IommuGroup, PciBus, PciDomain, PciFunction } from "./graph.ts";

/** Somebody who keeps something for each function. */
export interface TopologyWatcher {
  added(fn: PciFunction): void;
  removed(fn: PciFunction): void;
}

export interface TopologyOptions {
  /** Makers of the device models that the description names. */
  readonly models?: DeviceFactories;
}

export class PciTopology {
  readonly domains: readonly PciDomain[];
  readonly buses: readonly PciBus[];
  /** Every function in the order the kernel adds them: a bus completely, then what its bridges lead to. */
  readonly functions: readonly PciFunction[];
  readonly groups: readonly IommuGroup[];
  readonly #functions: PciFunction[];
  readonly #groups: IommuGroup[];
  readonly #grouping: Grouping;
  readonly #byName: Map<string, PciFunction>;
  readonly #watchers: TopologyWatcher[] = [];
  #dmaWatch: DmaWatch | null = null;

  private constructor(
    domains: readonly PciDomain[],
    buses: readonly PciBus[],
    functions: PciFunction[],
    groups: IommuGroup[],
    grouping: Grouping,
  ) {
    this.domains = domains;
    this.buses = buses;
    this.functions = functions;
    this.groups = groups;
    this.#functions = functions;
    this.#groups = groups;
    this.#grouping = grouping;
    this.#byName = new Map(functions.map((fn) => [fn.name, fn]));
  }

  /** @throws PciError when the description contradicts itself, names an unknown model, or does not fit its windows. */
  static fromDescription(description: TopologyDescription, options: TopologyOptions = {}): PciTopology {
    const { domains, buses, functions, drivers, placements, origins } = enumerate(description, options.models ?? {});
    for (const domain of domains) assignAddresses(domain, placements);
    const groups = formGroups(description, domains, functions);
    for (const [fn, driver] of drivers) {
      if (needsOverride(driver)) fn.driverOverride = driver;
      bindDriver(fn, driver);
    }
    domains.forEach((domain, index) => {
      startUp(domain, description.domains[index]!, origins);
    });
    return new PciTopology(domains, buses, functions, groups, description.grouping ?? "acs");
  }

  /** Hear of functions that appear and vanish. Watchers are called in the order in which they asked. */
  watch(watcher: TopologyWatcher): void {
    this.#watchers.push(watcher);
  }

  /** Tells somebody, or nobody with null, of the requests of all functions, also of those that appear later. */
  watchDma(watch: DmaWatch | null): void {
    this.#dmaWatch = watch;
    for (const fn of this.functions) fn.dmaWatch = watch;
  }

  /** A function appears (pci_device_add): on its bus, in its group, known to watchers. */
  add(fn: PciFunction): void {
    fn.bus.functions.push(fn);
    fn.dmaWatch = this.#dmaWatch;
    this.#functions.push(fn);
    this.#byName.set(fn.name, fn);
    if (this.#grouping === "acs") joinAcsGroup(fn, this.#groups);
    else if (this.#grouping !== "none") joinPeGroup(fn, this.#groups, this.#grouping === "pe" ? "bus" : "phb");
    for (const watcher of this.#watchers) watcher.added(fn);
  }

  /** It vanishes (pci_destroy_dev); watchers still see its group. */
  remove(fn: PciFunction): void {
    for (const watcher of this.#watchers) watcher.removed(fn);
    leaveGroup(fn, this.#groups);
    this.#byName.delete(fn.name);
    this.#functions.splice(this.#functions.indexOf(fn), 1);
    fn.bus.functions.splice(fn.bus.functions.indexOf(fn), 1);
  }

  get bridges(): PciFunction[] {
    return this.functions.filter((fn) => fn.isBridge);
  }

  /** The function at an address (`0000:01:00.0` or `01:00.0`), undefined when there is none or the text is no address. */
  find(bdf: string): PciFunction | undefined {
    const exact = this.#byName.get(bdf);
    if (exact) return exact;
    try {
      return this.#byName.get(formatBdf(parseBdf(bdf)));
    } catch {
      return undefined;
    }
  }

  /** @throws PciError NO_SUCH_FUNCTION, BDF_SYNTAX, BDF_RANGE */
  get(bdf: string): PciFunction {
    const name = formatBdf(parseBdf(bdf));
    const fn = this.#byName.get(name);
    if (fn) return fn;
    throw new PciError(`there is no PCI function ${name} on this host`, {
      code: "NO_SUCH_FUNCTION",
      details: { bdf: name, functions: [...this.#byName.keys()] },
      hint: "choose one of the functions listed by lspci -D",
    });
  }

  /** The function and BAR that answer a host physical address, decode bits aside. */
  decode(address: number): { fn: PciFunction; bar: number; offset: number } | undefined {
    for (const fn of this.functions) {
      for (const bar of fn.bars) {
        if (bar.address !== 0 && address >= bar.address && address < bar.address + bar.size) {
          return { fn, bar: bar.index, offset: address - bar.address };
        }
      }
    }
    return undefined;
  }

  /** Close every device model. */
  close(): void {
    for (const fn of this.functions) {
      fn.device.close();
      fn.device.sriov?.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function formGroups(
  description: TopologyDescription,
  domains: readonly PciDomain[],
  functions: readonly PciFunction[],
): IommuGroup[] {
  switch (description.grouping ?? "acs") {
    case "acs":
      return buildAcsGroups(functions);
    case "pe":
      return buildPeGroups(domains, "bus");
    case "pe-phb":
      return buildPeGroups(domains, "phb");
    case "none":
      return [];
  }
}
