// The flow of the kernel's VFIO document, on a modelled host: container, group, IOMMU, device, interrupt.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VFIO_PCI_MSI_IRQ_INDEX, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";

// The host: one teaching device bound to vfio-pci, and an IOMMU driver that lets nothing through.
const kernel = new ModelKernel();
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] }],
});
new VfioCore(kernel, topology).registerIommuDriver({
  name: "blocking",
  allowsNoiommu: false,
  checkExtension: (ext) => (ext === 1 ? 1 : 0),
  open: () => ({ attachGroup() {}, detachGroup() {}, ioctl: () => -25, checkExtension: () => 0, release() {} }),
});

// The user of VFIO: from here on the same code runs on a real host (realHost() of @minivmm/host).
const host = kernel.spawn();
using container = VfioContainer.open(host);
using group = VfioGroup.open(host, topology.get("0000:00:01.0").group?.id ?? 0);
group.requireViable();
group.setContainer(container);
container.setIommu(1);
using device = group.device("0000:00:01.0");
const { regions, irqs } = device.info();
console.log(`${regions} regions, ${irqs} interrupt indexes, BAR 0 has ${device.region(0).size} bytes`);

device.writeConfig(4, 2, 0x6); // memory and bus master on
const out = new Uint32Array(2);
device.readRegion(0, 0, 4, out);
console.log(`identification register: 0x${(out[0] ?? 0).toString(16)}`);

const event = host.eventfd(0, 0);
host.watch(event, () => {
  host.read(event, new Uint8Array(8));
  console.log("interrupt");
});
device.setIrqs({ index: VFIO_PCI_MSI_IRQ_INDEX, fds: [event] });
device.writeRegion(0, 0x60, 4, 1, 0); // the device raises its interrupt
