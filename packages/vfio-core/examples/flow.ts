// The flow of the kernel's VFIO document, on a modelled host: container, group, IOMMU, device, regions, interrupts, reset.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import * as vfio from "@minivmm/vfio-core";
import { Type1Iommu, VfioCore } from "@minivmm/vfio-core/model";

// A modelled host: one NVMe bound to vfio-pci, behind a type1 IOMMU.
const kernel = new ModelKernel();
const disk = nvme({ disk: memoryDisk(1 << 20) });
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: disk, driver: "vfio-pci" }] }],
});
for (const { name, group } of topology.functions) {
  kernel.sysfs.link(`/sys/bus/pci/devices/${name}/iommu_group`, `/sys/kernel/iommu_groups/${group?.id}`);
}
new VfioCore(kernel, topology).registerIommuDriver(new Type1Iommu(kernel, { topology }));

// Its user. On a real one: `const host = realHost();` of @minivmm/host, and the address of a device bound to vfio-pci.
const host = kernel.spawn();
const bdf = "0000:00:01.0";

using container = vfio.VfioContainer.open(host); // checks the API version
if (!container.checkExtension(vfio.VFIO_TYPE1v2_IOMMU)) throw new Error("no type1 IOMMU here");
using group = vfio.VfioGroup.open(host, vfio.iommuGroupOf(host, bdf));
group.requireViable(); // all members are bound to vfio-pci, or to nothing
group.setContainer(container);
container.setIommu(vfio.VFIO_TYPE1v2_IOMMU);

const iommu = new vfio.Type1Container(container);
const { pageSize, iovaRanges } = iommu.info();
console.log(`smallest IOMMU page ${pageSize} bytes; ${iovaRanges?.length} ranges of bus addresses`);

// 1 MiB that the device sees at bus address 0.
iommu.mapDma({ iova: 0n, memory: new Uint8Array(new SharedArrayBuffer(1 << 20)) });

using device = group.device(bdf);
const { regions, irqs } = device.info();
for (let index = 0; index < regions; index++) {
  // Not every index exists: one that does not is refused.
  const { size, flags } = index === vfio.VFIO_PCI_VGA_REGION_INDEX ? { size: 0, flags: 0 } : device.region(index);
  if (size > 0) console.log(`region ${index}: ${size} bytes, flags ${flags}`);
}
for (let index = 0; index < irqs; index++) {
  const { count, flags } = device.irq(index);
  console.log(`interrupt index ${index}: ${count}, flags ${flags}`);
}

device.writeConfig(4, 2, 0x6); // COMMAND: memory and bus master on
const out = new Uint32Array(2);
device.readRegion(vfio.VFIO_PCI_BAR0_REGION_INDEX, 8, 4, out);
console.log(`NVMe version register: 0x${(out[0] ?? 0).toString(16)}`);

// Two MSI-X vectors, each with an eventfd; the loopback signals them as the device would.
const events = [host.eventfd(0, 0), host.eventfd(0, 0)];
for (const [vector, fd] of events.entries()) {
  host.watch(fd, () => {
    host.read(fd, new Uint8Array(8));
    console.log(`vector ${vector}`);
  });
}
device.setIrqs({ index: vfio.VFIO_PCI_MSIX_IRQ_INDEX, fds: events });
device.triggerIrqs(vfio.VFIO_PCI_MSIX_IRQ_INDEX, 0, events.length);

device.reset(); // the function alone; interrupts and mappings stay
console.log("reset");
