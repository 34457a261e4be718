// A device without groups and containers, on a modelled host: its own node, an iommufd, memory, interrupts, a reset.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { Iommufd, VFIO_PCI_MSIX_IRQ_INDEX, VfioCdev } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";

// The host: an NVMe disk bound to vfio-pci, and a kernel that is built with iommufd and device nodes.
const kernel = new ModelKernel();
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", device: nvme({ disk: memoryDisk(1 << 20) }), driver: "vfio-pci" }] }],
});
new VfioCore(kernel, topology, { iommufd: { addressWidth: 39 }, deviceCdev: true });

// The user: from here on the same code runs on a real host (realHost() of @minivmm/host).
const host = kernel.spawn();
using iommufd = Iommufd.open(host);
using device = VfioCdev.open(host, "0000:00:01.0");
console.log(`device ${device.bind(iommufd)} of the iommufd`);

// 1 MiB for the device: the kernel chooses the bus address.
using space = iommufd.allocIoas();
device.attach(space);
const memory = new Uint8Array(new SharedArrayBuffer(1 << 20));
const iova = space.map({ memory });
console.log(`1 MiB at 0x${iova.toString(16)}; ${space.ranges().ranges.length} ranges can be mapped`);

device.writeConfig(4, 2, 0x6); // memory and bus master on
const out = new Uint32Array(2);
device.readRegion(0, 8, 4, out);
console.log(`NVMe ${(out[0] ?? 0) >>> 16}.${((out[0] ?? 0) >>> 8) & 0xff}`);

const event = host.eventfd(0, 0);
host.watch(event, () => {
  host.read(event, new Uint8Array(8));
  console.log("interrupt");
});
device.setIrqs({ index: VFIO_PCI_MSIX_IRQ_INDEX, fds: [event] });
device.triggerIrqs(VFIO_PCI_MSIX_IRQ_INDEX);
device.disableIrqs(VFIO_PCI_MSIX_IRQ_INDEX);

device.reset();
console.log(`${space.unmap({ iova, size: 1n << 20n })} bytes given back`);
device.detach();
