// The order of operations of a VMM: group, container, IOMMU, then KVM is told, then the device is opened.
import { ModelKernel } from "@minivmm/host/model";
import { KvmSystem } from "@minivmm/kvm";
import { ModelKvm } from "@minivmm/kvm/model";
import { KvmVfioDevice } from "@minivmm/kvm-device";
import { installKvmVfio } from "@minivmm/kvm-device/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VfioGroup } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";

const kernel = new ModelKernel({ arch: "x86_64" });
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] }],
});
const vfio = new VfioCore(kernel, topology);
installKvmVfio(new ModelKvm(kernel));
const host = kernel.spawn();

using system = KvmSystem.open(host);
using vm = system.createVm();
using device = KvmVfioDevice.create(vm);
const [id = 0] = vfio.groups.keys();
const group = VfioGroup.open(host, id);
device.add(group.fd);
group.close();
console.log(`group ${id} is still held by KVM:`, vfio.groups.get(id)?.opened);
device.close();
console.log("after closing the device:", vfio.groups.get(id)?.opened);
