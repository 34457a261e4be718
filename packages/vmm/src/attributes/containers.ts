// What the containers of a VM will be, asked of the kernel before the VM starts: IOMMU type, whether DMA always snoops,
// sPAPR's window. Groups join a container, the IOMMU is set, questions are asked, everything is given back.
// Source: the order of VfioSession; VFIO_DMA_CC_IOMMU and VFIO_IOMMU_SPAPR_TCE_GET_INFO of include/uapi/linux/vfio.h.
// Invariants: no device is opened, nothing is mapped, charged or reset; a container that was passed in is left alone; what
// the host refuses is told as `why` and never thrown.
import { type Host, MinivmmError } from "@minivmm/host";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import {
  iommuGroupOf,
  requireVfioDriver,
  VFIO_DMA_CC_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
} from "@minivmm/vfio-core";
import type { VfioPciConfig } from "../config/functions.ts";
import { CONTAINER_APART, SHARED_CONTAINER, SnoopPlacement } from "../pci/snoop-placement.ts";
import { groupEnforcesSnoop } from "../pci/snoop-probe.ts";

export type IommuKind = "type1" | "spapr-v1" | "spapr-v2";

export interface SpaprFacts {
  /** Bytes of the default window of the hardware. */
  readonly windowBytes: number;
  /** Page sizes as a bitmap; 0 in version 1. */
  readonly pgsizes: bigint;
  readonly levels: number;
}

export interface ContainerFacts {
  /** "default", the name that was given, or "descriptor N". */
  readonly name: string;
  /** Addresses of its functions, in the order of the VM's devices. */
  readonly functions: readonly string[];
  readonly groups: readonly number[];
  readonly iommu: IommuKind;
  /** False: `iommu` and what follows from it are what a host of this architecture has, and `why` says why it is not known. */
  readonly asked: boolean;
  readonly why: string | null;
  /** VFIO_DMA_CC_IOMMU; null when it was not asked. */
  readonly enforcesSnoop: boolean | null;
  /** Made only to keep functions apart whose DMA is treated otherwise: they share the default one if it cannot be had. */
  readonly optional: boolean;
  readonly spapr: SpaprFacts | null;
}

const TYPES: readonly (readonly [number, IommuKind])[] = [
  [VFIO_TYPE1v2_IOMMU, "type1"],
  [VFIO_TYPE1_IOMMU, "type1"],
  [VFIO_SPAPR_TCE_v2_IOMMU, "spapr-v2"],
  [VFIO_SPAPR_TCE_IOMMU, "spapr-v1"],
];
/** Bare-metal POWER as Linux sets it up: 2 GiB of window, 4 and 64 KiB pages. */
const USUAL_SPAPR: SpaprFacts = { windowBytes: 0x8000_0000, pgsizes: 0x1_1000n, levels: 5 };

export interface SurveyOptions {
  /** Functions that name no container are kept apart by how their DMA is treated, as machine pc does. Default false. */
  readonly apart?: boolean;
}

/** One entry a container, in the order in which the VM makes them. Throws VfioError NO_DEVICE for what is not there. */
export function surveyContainers(
  host: Host,
  devices: readonly VfioPciConfig[],
  { apart = false }: SurveyOptions = {},
): ContainerFacts[] {
  const byName = new Map<string, VfioPciConfig[]>();
  const kindOf = (name: string): boolean | null => {
    const first = byName.get(name)?.[0];
    return first === undefined ? null : groupEnforcesSnoop(host, first.host, first.groupFd);
  };
  const placement = apart ? new SnoopPlacement(kindOf) : undefined;
  for (const device of devices) {
    const name = nameFor(host, device, placement);
    byName.set(name, [...(byName.get(name) ?? []), device]);
  }
  const taken = new Set<number>();
  return [...byName].map(([name, members]) => survey(host, { name, members }, taken));
}

function nameFor(host: Host, device: VfioPciConfig, placement: SnoopPlacement | undefined): string {
  const { container = "", containerFd } = device;
  if (containerFd !== undefined) return `descriptor ${containerFd}`;
  if (container !== "" || placement === undefined) return container || SHARED_CONTAINER;
  try {
    const group = iommuGroupOf(host, device.host);
    return placement.place(group, () => groupEnforcesSnoop(host, device.host, device.groupFd));
  } catch (error) {
    if (error instanceof MinivmmError) return SHARED_CONTAINER;
    throw error;
  }
}

interface Placed {
  readonly name: string;
  readonly members: readonly VfioPciConfig[];
}

function survey(host: Host, { name, members }: Placed, taken: Set<number>): ContainerFacts {
  const [{ containerFd }] = members as [VfioPciConfig];
  const groups = new Map<number, number | undefined>();
  const held: Held[] = [];
  const base = {
    name,
    functions: members.map((device) => device.host),
    optional: name === CONTAINER_APART,
  };
  const spapr = host.arch === "ppc64le";
  const usual: Omit<ContainerFacts, "why" | "groups"> = {
    ...base,
    iommu: spapr ? "spapr-v2" : "type1",
    asked: false,
    enforcesSnoop: null,
    spapr: spapr ? USUAL_SPAPR : null,
  };
  let opened: VfioContainer | undefined;
  try {
    for (const device of members) {
      const id = iommuGroupOf(host, device.host);
      if (!groups.has(id)) groups.set(id, device.groupFd);
      requireVfioDriver(host, device.host);
    }
    const shared = [...groups.keys()].find((id) => taken.has(id));
    for (const id of groups.keys()) taken.add(id);
    const known = { ...usual, groups: [...groups.keys()] };
    if (shared !== undefined) return { ...known, why: `IOMMU group ${shared} is in another container of this VM` };
    if (containerFd !== undefined)
      return { ...known, why: "a container that was passed in is not touched before the start" };
    opened = VfioContainer.open(host);
    const facts = ask(opened, host, groups, held);
    return { ...base, groups: [...groups.keys()], asked: true, why: null, ...facts };
  } catch (error) {
    if (!(error instanceof MinivmmError) || error.code === "NO_DEVICE") throw error;
    return { ...usual, groups: [...groups.keys()], why: error.message };
  } finally {
    for (const each of held.reverse()) release(each);
    opened?.close();
  }
}

interface Held {
  readonly group: VfioGroup;
  /** A group that was passed in may be in somebody's container already, and stays there. */
  joined: boolean;
}

/** Throws VfioError or SpaprError; the groups that were opened are in `held`. */
function ask(
  container: VfioContainer,
  host: Host,
  groups: ReadonlyMap<number, number | undefined>,
  held: Held[],
): Pick<ContainerFacts, "iommu" | "enforcesSnoop" | "spapr"> {
  let iommu: IommuKind | undefined;
  for (const [id, fd] of groups) {
    const group = VfioGroup.open(host, id, fd);
    const entry: Held = { group, joined: false };
    held.push(entry);
    group.requireViable();
    group.setContainer(container);
    entry.joined = true;
    iommu ??= setIommu(container);
  }
  const kind = iommu as IommuKind;
  const enforcesSnoop = container.checkExtension(VFIO_DMA_CC_IOMMU) > 0;
  if (kind === "type1") return { iommu: kind, enforcesSnoop, spapr: null };
  const info = new SpaprContainer(container).info();
  const pgsizes = kind === "spapr-v2" ? info.pgsizes : 0n;
  return {
    iommu: kind,
    enforcesSnoop,
    spapr: { windowBytes: info.dma32WindowSize, pgsizes, levels: Math.max(1, info.levels) },
  };
}

/** The first type that the kernel has, and version 1 where it refuses version 2. Throws the last refusal. */
function setIommu(container: VfioContainer): IommuKind {
  let refusal: unknown;
  for (const [type, kind] of TYPES) {
    if (container.checkExtension(type) <= 0) continue;
    try {
      container.setIommu(type);
      return kind;
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal ?? new MinivmmError("the container offers no IOMMU type", { code: "PASSTHROUGH" });
}

function release({ group, joined }: Held): void {
  try {
    if (joined) group.unsetContainer();
  } catch {
    // It leaves with its descriptor.
  }
  group.close();
}
