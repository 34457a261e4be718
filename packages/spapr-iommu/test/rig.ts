// A kernel with two edu devices in two groups, VFIO and the sPAPR driver: what the tests of this package run on.
import {
  type Clock,
  type KernelProfile,
  ManualClock,
  ModelKernel,
  type ModelProcess,
  type SpawnOptions,
} from "@minivmm/host/model";
import { type PciFunction, PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";
import { type ArenaStore, SpaprTceIommu, type SpaprTceIommuOptions, TceArena } from "../src/model/index.ts";

export interface RigOptions extends SpaprTceIommuOptions {
  pageSize?: 4096 | 65536;
  profile?: KernelProfile;
  spawn?: SpawnOptions;
  /** Where tables and regions lie. */
  store?: ArenaStore;
}

export interface Rig {
  kernel: ModelKernel;
  clock: Clock & { advance(ms: number): void };
  driver: SpaprTceIommu;
  /** One function in each group. */
  functions: PciFunction[];
  process: ModelProcess;
}

export function rig(options: RigOptions = {}): Rig {
  const { pageSize = 65536, profile = "6.12", spawn, store, ...iommu } = options;
  const clock = new ManualClock();
  const kernel = new ModelKernel({ arch: "ppc64le", pageSize, profile, clock });
  if (store) TceArena.install(kernel, store);
  const device = () => edu({ dmaBits: 64, dmaDelay: 1, after: (ms, run) => clock.after(ms, run) });
  const topology = PciTopology.fromDescription({
    grouping: "pe",
    domains: [0, 1].map((domain) => ({ domain, devices: [{ at: "00.0", device: device(), driver: "vfio-pci" }] })),
  });
  const core = new VfioCore(kernel, topology);
  const driver = new SpaprTceIommu(kernel, iommu);
  core.registerIommuDriver(driver);
  return { kernel, clock, driver, functions: [...topology.functions], process: kernel.spawn(spawn) };
}

export interface Attached extends Rig {
  container: VfioContainer;
  groups: VfioGroup[];
}

/** The rig with groups attached to one container whose IOMMU type is set. */
export function attachedContainer(version: "v1" | "v2", options: RigOptions & { groups?: number } = {}): Attached {
  const { groups: count = 1, ...rest } = options;
  const made = rig(rest);
  const container = VfioContainer.open(made.process);
  const groups = Array.from({ length: count }, (_, id) => VfioGroup.open(made.process, id));
  for (const group of groups) group.setContainer(container);
  container.setIommu(version === "v1" ? VFIO_SPAPR_TCE_IOMMU : VFIO_SPAPR_TCE_v2_IOMMU);
  return { ...made, container, groups };
}
