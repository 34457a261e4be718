// What KVM learns of a group, on a modelled host whose IOMMU does not make DMA snoop: created, group added, deleted, released.
import { ModelKernel } from "@minivmm/host/model";
import { KvmSystem } from "@minivmm/kvm";
import { ModelKvm } from "@minivmm/kvm/model";
import { KvmVfioDevice } from "@minivmm/kvm-device";
import { installKvmVfio } from "@minivmm/kvm-device/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { Type1Iommu, VfioCore } from "@minivmm/vfio-core/model";

// A modelled host with one device and KVM.
const kernel = new ModelKernel({ arch: "x86_64" });
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] }],
});
const core = new VfioCore(kernel, topology, { enforcesSnoop: false });
core.registerIommuDriver(new Type1Iommu(kernel, { topology, snoopControl: false }));
const kvm = new ModelKvm(kernel);
installKvmVfio(kvm);
const [id = 0] = core.groups.keys();
/** What the modelled KVM knows of its only VM; a real one tells nobody. */
const known = () =>
  [...kvm.vms].map((vm) => `groups ${vm.assignedDeviceCount}, non-coherent ${vm.noncoherentDmaCount}`);

// The monitor. On a real host: `const host = realHost();` of @minivmm/host, and the number of a group bound to vfio-pci.
const host = kernel.spawn();
using container = VfioContainer.open(host);
using group = VfioGroup.open(host, id);
group.setContainer(container);
container.setIommu(VFIO_TYPE1v2_IOMMU);

using system = KvmSystem.open(host);
using vm = system.createVm();
const vfio = KvmVfioDevice.create(vm); // one for each VM

vfio.add(group.fd); // before the group's devices are opened
console.log("added:", ...known()); // from now on the guest's cache control is honoured

// Opened now, a device belongs to the VM, which lives at least as long.
const device = group.device("0000:00:01.0");
device.close();

try {
  vfio.add(group.fd);
} catch (error) {
  console.log((error as Error).message);
}

vfio.remove(group.fd);
console.log("deleted:", ...known());

vfio.add(group.fd);
group.close();
console.log(`closed, but KVM holds the group: open is refused, ${core.groups.get(id)?.opened}`);
vfio.close(); // releases all that is registered
console.log("released:", ...known(), core.groups.get(id)?.opened);
