// The four steps of an in-kernel user of a group (KVM on POWER, before Linux 5.18), on a modelled kernel of that time:
// take the group out of its file, ask for its number and for what its IOMMU can do, give it back.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VFIO_DMA_CC_IOMMU, VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import * as model from "@minivmm/vfio-core/model";

const kernel = new ModelKernel({ profile: "4.12" });
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] }],
});
const core = new model.VfioCore(kernel, topology);
core.registerIommuDriver(new model.Type1Iommu(kernel, { topology }));

// 1. User space makes the group ready: container, group, IOMMU.
const host = kernel.spawn();
const [id = 0] = core.groups.keys();
const container = VfioContainer.open(host);
const group = VfioGroup.open(host, id);
const file = host.fileOf(group.fd);
if (!file) throw new Error("the group is open");
try {
  model.vfioGroupGetExternalUser(file);
} catch (error) {
  console.log(`too early: ${(error as Error).message}`);
}
group.setContainer(container);
container.setIommu(VFIO_TYPE1v2_IOMMU);

// 2. The user in the kernel gets the descriptor and counts as a user of the container from now on.
const held = model.vfioGroupGetExternalUser(file);
group.close();
container.close();
console.log(`group ${id} closed, still ${held.containerUsers} user of its container`);

// 3. It learns which IOMMU this is, and whether all DMA behind it is coherent.
console.log(`IOMMU id ${model.vfioExternalUserIommuId(held)}`);
console.log(`coherent: ${model.vfioExternalCheckExtension(held, VFIO_DMA_CC_IOMMU) > 0}`);

// 4. The last user lets go, and container and IOMMU mappings with it.
model.vfioGroupPutExternalUser(held);
console.log(`in a container: ${core.groups.get(id)?.container !== null}`);
