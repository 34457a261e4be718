// What can go wrong, on request: a device whose endpoint gets frozen, and a group that a host driver takes away.
import { modelHost } from "@minivmm/model-host";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import { iommuGroupOf, VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioError, VfioGroup } from "@minivmm/vfio-core";

const EDU = "0002:01:00.0";
const NEIGHBOUR = "0003:02:02.0";

using machine = modelHost("power9");
const host = machine.spawn();
using container = VfioContainer.open(host);
using group = VfioGroup.open(host, iommuGroupOf(host, EDU));
group.setContainer(container);
container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
const spapr = new SpaprContainer(container);
const device = group.device(EDU);
device.writeConfig(4, 2, 6);

const value = new Uint32Array(2);
const identity = (): string => {
  device.readRegion(0, 0, 4, value);
  return `0x${(value[0] as number).toString(16)}`;
};
console.log("identity register:", identity());
machine.faults.freezePe(EDU);
console.log("frozen:", identity(), "state", spapr.eeh.state());
spapr.eeh.thawIo();
console.log("registers thawed:", identity(), "state", spapr.eeh.state());
spapr.eeh.thawDma();
console.log("DMA thawed: state", spapr.eeh.state());

// The second function of a shared group goes to a host driver: the group is not viable for VFIO any more.
machine.faults.takeGroup(NEIGHBOUR, "edu-host");
try {
  const shared = VfioGroup.open(host, iommuGroupOf(host, NEIGHBOUR));
  shared.requireViable();
} catch (error) {
  if (!(error instanceof VfioError)) throw error;
  console.log(`${error.message}\n  ${error.hint}`);
}
