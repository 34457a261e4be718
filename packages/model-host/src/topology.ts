// From the host's description to that of its PCI hardware: grouping by the kind of IOMMU, BAR alignment by page size.
import { formatBdf, parseBdf, type TopologyDescription } from "@minivmm/pci";
import type { FunctionDescription, HostDescription } from "./description.ts";

type PciFunctionDescription = TopologyDescription["domains"][number]["devices"][number];

/** Address windows of a POWER host bridge: its 32-bit window appears at 2 GiB on the bus, and every bridge has its own. */
function phbWindows(index: number): Pick<TopologyDescription["domains"][number], "memory32" | "memory64" | "io"> {
  return {
    memory32: { base: 0x6_00c0_0000_0000 + index * 0x1_0000_0000, size: 0x7fff_0000, busBase: 0x8000_0000 },
    memory64: { base: 0x6_0000_0000_0000 + index * 0x40_0000_0000, size: 0x10_0000_0000 },
    io: { base: 0x6_00f0_0000_0000 + index * 0x1_0000, size: 0xf000, busBase: 0x1000 },
  };
}

const GROUPING = { powernv: "pe", pseries: "pe-phb" } as const;

/** `givenAt`: address of the storage function that gets a live disk instead of the described one. */
export function topologyOf(host: HostDescription, pageSize: number, givenAt: string | null): TopologyDescription {
  const { iommu } = host;
  const grouping = iommu.kind === "spapr" ? GROUPING[iommu.platform] : iommu.kind === "type1" ? "acs" : "none";
  const given = givenAt === null ? null : parseBdf(givenAt);
  return {
    grouping,
    barAlignment: pageSize,
    domains: host.domains.map(({ domain, devices }, index) => {
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
      const windows = iommu.kind === "spapr" ? phbWindows(index) : {};
      return { domain, ...windows, devices: devices.map((f) => convert(f, 0)) };
    }),
  };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as never;
}
