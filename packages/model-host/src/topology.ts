// From the host's description to that of its PCI hardware: grouping by the kind of IOMMU, BAR alignment by page size.
import { formatBdf, parseBdf, type TopologyDescription } from "@minivmm/pci";
import { optionRom } from "@minivmm/pci/devices";
import type { FunctionDescription, HostDescription } from "./description.ts";
import type { ShadowRomDescription } from "./platform.ts";

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

type Domain = HostDescription["domains"][number];

/** First entry of the interrupt remapping table that drivers get: the first sixteen are the legacy interrupts'. */
const FIRST_REMAPPING_ENTRY = 16;

export interface TopologyFacts {
  readonly pageSize: number;
  /** Address of the storage function that gets a live disk instead of the described one. */
  readonly givenAt: string | null;
  /** Kernel whose port drivers run. */
  readonly profile: string;
}

export function topologyOf(host: HostDescription, facts: TopologyFacts): TopologyDescription {
  const { pageSize, givenAt, profile } = facts;
  const { iommu } = host;
  const grouping = iommu.kind === "spapr" ? GROUPING[iommu.platform] : iommu.kind === "type1" ? "acs" : "none";
  const given = givenAt === null ? null : parseBdf(givenAt);
  return {
    grouping,
    barAlignment: pageSize,
    domains: host.domains.map((described, index) => {
      const { domain, devices } = described;
      // Buses are numbered depth first, as firmware numbers them.
      let bus = 0;
      const convert = (f: FunctionDescription, on: number): PciFunctionDescription => {
        const [device = 0, fn = 0] = f.at.split(".").map((part) => Number.parseInt(part, 16));
        const isGiven = given !== null && formatBdf({ domain, bus: on, device, function: fn }) === formatBdf(given);
        const { children, options, driver, shadowRom, windows, ...rest } = f;
        const below = f.bridge === undefined ? on : ++bus;
        return {
          ...withoutUndefined(rest),
          at: f.at,
          driver: driver ?? null,
          ...(options || isGiven ? { options: { ...options, ...(isGiven ? { given: true } : {}) } } : {}),
          ...(windows ? { windows: withoutUndefined(windows) } : {}),
          ...(shadowRom ? { shadowRom: shadowContents(shadowRom) } : {}),
          ...(children ? { children: children.map((child) => convert(child, below)) } : {}),
        };
      };
      const windows = iommu.kind === "spapr" ? phbWindows(index) : {};
      return {
        domain,
        ...windows,
        ...platformOf(host, described, profile),
        devices: devices.map((f) => convert(f, 0)),
      };
    }),
  };
}

function platformOf(host: HostDescription, domain: Domain, profile: string): object {
  const { windows, interrupts, command, ports } = domain;
  const { iommu } = host;
  const remapped = iommu.kind === "type1" && (iommu.interruptRemapping ?? true);
  return withoutUndefined({
    ...windows,
    interrupts,
    command,
    ports: ports && {
      firstIrq: ports.firstIrq,
      upstream: profile !== "6.12",
      ...(remapped && { remapping: FIRST_REMAPPING_ENTRY }),
    },
  });
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as never;
}

/** Firmware copied one image and ran it, so that the ones behind it are missing. */
function shadowContents({ vendor, device, class: classCode, blocks, resident }: ShadowRomDescription): Uint8Array {
  return optionRom({ vendor, device, classCode, images: [{ blocks, resident }], cut: true });
}
