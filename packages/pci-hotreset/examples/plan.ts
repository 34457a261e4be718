// Prints who a hot reset of a device would hit, on a modelled host where one neighbour is not bound to vfio-pci.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { planHotReset } from "@minivmm/pci-hotreset";
import { registerHotReset } from "@minivmm/pci-hotreset/model";
import { VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";

const kernel = new ModelKernel();
const children = [
  { at: "01.0", device: edu(), driver: "vfio-pci" },
  { at: "02.0", device: edu() },
];
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", bridge: "pci-bridge", children }] }],
});
const vfio = new VfioCore(kernel, topology);
vfio.registerIommuDriver({
  name: "flat",
  allowsNoiommu: false,
  checkExtension: (ext) => (ext === 1 ? 1 : 0),
  open: () => ({
    attachGroup() {},
    detachGroup() {},
    ioctl: () => -25,
    checkExtension: () => 0,
    release() {},
  }),
});
registerHotReset(vfio);

const host = kernel.spawn();
const container = VfioContainer.open(host);
const group = VfioGroup.open(host, topology.get("0000:01:01.0").group?.id ?? 0);
group.setContainer(container);
container.setIommu(1);
const plan = planHotReset(host, group.device("0000:01:01.0"));
for (const { bdf, group: id, driver } of plan.affected) console.log(`${bdf}  group ${id}  ${driver ?? "no driver"}`);
console.log(plan.blockers.length === 0 ? "can be reset" : `in the way: ${plan.blockers.map((each) => each.bdf)}`);
