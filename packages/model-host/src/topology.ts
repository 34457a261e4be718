// From the host's description to that of its PCI hardware: grouping by the kind of IOMMU, BAR alignment by page size.
import { formatBdf, parseBdf, type TopologyDescription } from "@minivmm/pci";
import type { FunctionDescription, HostDescription } from "./description.ts";

type PciFunctionDescription = TopologyDescription["domains"][number]["devices"][number];

const GROUPING = { powernv: "pe", pseries: "pe-phb" } as const;

/** `givenAt`: address of the storage function that gets a live disk instead of the described one. */
export function topologyOf(host: HostDescription, pageSize: number, givenAt: string | null): TopologyDescription {
  const { iommu } = host;
  const grouping = iommu.kind === "spapr" ? GROUPING[iommu.platform] : "none";
  const given = givenAt === null ? null : parseBdf(givenAt);
  return {
    grouping,
    barAlignment: pageSize,
    domains: host.domains.map(({ domain, devices }) => {
      // Buses are numbered depth first, as firmware numbers them.
      let bus = 0;
      const convert = (f: FunctionDescription, on: number): PciFunctionDescription => {
        const [device = 0, fn = 0] = f.at.split(".").map((part) => Number.parseInt(part, 16));
        const isGiven = given !== null && formatBdf({ domain, bus: on, device, function: fn }) === formatBdf(given);
        const { children, options, driver, ...rest } = f;
        const below = f.bridge === undefined ? on : ++bus;
        return {
          ...withoutUndefined(rest),
          at: f.at,
          driver: driver ?? null,
          ...(options || isGiven ? { options: { ...options, ...(isGiven ? { given: true } : {}) } } : {}),
          ...(children ? { children: children.map((child) => convert(child, below)) } : {}),
        };
      };
      return { domain, devices: devices.map((f) => convert(f, 0)) };
    }),
  };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as never;
}
