// The PCI hardware of one host: domains, buses, functions, bridges and IOMMU groups, built once from plain data the way
// firmware and kernel find it: buses are numbered depth first, BARs assigned, functions added, groups formed in add order.
import { formatBdf, parseBdf } from "../bdf.ts";
import { PciError } from "../error.ts";
import { buildAcsGroups } from "../iommu/acs-groups.ts";
import { bindDriver } from "../iommu/binding.ts";
import { buildPeGroups } from "../iommu/pe-groups.ts";
import { enumerate } from "./build.ts";
import type { DeviceFactories, TopologyDescription } from "./description.ts";
import { assignAddresses } from "./firmware.ts";
import type { IommuGroup, PciBus, PciDomain, PciFunction } from "./graph.ts";

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
  readonly #byName: ReadonlyMap<string, PciFunction>;

  private constructor(
    domains: readonly PciDomain[],
    buses: readonly PciBus[],
    functions: readonly PciFunction[],
    groups: readonly IommuGroup[],
  ) {
    this.domains = domains;
    this.buses = buses;
    this.functions = functions;
    this.groups = groups;
    this.#byName = new Map(functions.map((fn) => [fn.name, fn]));
  }

  /** @throws PciError when the description contradicts itself, names an unknown model, or does not fit its windows. */
  static fromDescription(description: TopologyDescription, options: TopologyOptions = {}): PciTopology {
    const { domains, buses, functions, drivers, placements } = enumerate(description, options.models ?? {});
    for (const domain of domains) assignAddresses(domain, placements);
    const groups = formGroups(description, domains, functions);
    for (const [fn, driver] of drivers) bindDriver(fn, driver);
    return new PciTopology(domains, buses, functions, groups);
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
    for (const fn of this.functions) fn.device.close();
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
