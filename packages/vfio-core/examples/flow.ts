// The flow of the kernel's VFIO document, on a modelled host: container, group, IOMMU, device, interrupt.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import {
  Type1Container,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
} from "@minivmm/vfio-core";
import { Type1Iommu, VfioCore } from "@minivmm/vfio-core/model";

// The host: one teaching device bound to vfio-pci, behind a type1 IOMMU.
const kernel = new ModelKernel();
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] }],
});
new VfioCore(kernel, topology).registerIommuDriver(new Type1Iommu(kernel, { topology }));

// The user of VFIO: from here on the same code runs on a real host (realHost() of @minivmm/host).
const host = kernel.spawn();
using container = VfioContainer.open(host);
using group = VfioGroup.open(host, topology.get("0000:00:01.0").group?.id ?? 0);
group.requireViable();
group.setContainer(container);
container.setIommu(VFIO_TYPE1v2_IOMMU);

// 1 MiB for the device, at bus address 0.
const type1 = new Type1Container(container);
type1.mapDma({ iova: 0n, memory: new Uint8Array(new SharedArrayBuffer(1 << 20)) });
console.log(`mapped; the IOMMU takes ${type1.info().iovaRanges?.length} ranges of bus addresses`);

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
