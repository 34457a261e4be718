// What asking about and doing a hot reset of a slot of five functions costs on the modelled host.
import { VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { Type1Iommu } from "@minivmm/vfio-core/model";
import { bench, describe } from "vitest";
import { hotReset, hotResetInfo, planHotReset, runHotReset } from "../src/index.ts";
import { SLOT, sequenceHost } from "../test/sequences/host.ts";

const { kernel, topology, core } = sequenceHost("6.12");
core.registerIommuDriver(new Type1Iommu(kernel, { topology }));
const process = kernel.spawn();
const ids = [...new Set(SLOT.map((bdf) => topology.get(bdf).group?.id ?? -1))];
const groups = ids.map((id) => VfioGroup.open(process, id));
const [first] = groups as [VfioGroup];
const container = VfioContainer.open(process);
first.setContainer(container);
container.setIommu(3);
const device = first.device(SLOT[0] as string);
const fds = groups.map(({ fd }) => fd);

describe("pci-hotreset of a slot of five", () => {
  bench("info and reset", () => {
    hotResetInfo(device);
    hotReset(device, fds);
  });
  bench("plan and reset", () => {
    runHotReset(planHotReset(process, device), groups);
  });
});
