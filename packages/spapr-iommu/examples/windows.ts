// The sPAPR IOMMU on a small modelled kernel: registered memory, a dynamic DMA window, and what a device sees through it.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import { VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { VfioCore } from "@minivmm/vfio-core/model";

// The kernel's side: one device in one IOMMU group, VFIO, and the sPAPR driver behind it.
const kernel = new ModelKernel({ arch: "ppc64le" });
const topology = PciTopology.fromDescription({
  grouping: "pe",
  domains: [{ devices: [{ at: "00.0", device: edu(), driver: "vfio-pci" }] }],
});
new VfioCore(kernel, topology).registerIommuDriver(new SpaprTceIommu(kernel, { platform: "powernv" }));

// The user's side, the same as on a real POWER host.
const process = kernel.spawn();
const container = VfioContainer.open(process);
const group = VfioGroup.open(process, 0);
group.setContainer(container);
container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
const spapr = new SpaprContainer(container);

const memory = new Uint8Array(0x100000).fill(0x2a);
spapr.registerMemory(memory);
spapr.removeWindow(0n);
const start = spapr.createWindow({ pageShift: 16, windowSize: 1n << 30n });
const address = process.addressOf(memory);
const mapped = spapr.mapDma(0, Number(start), Number(address >> 32n), Number(address & 0xffffffffn), 0x10000, 3);
console.log(`window at 0x${start.toString(16)}, map returned ${mapped}`);

const bytes = new Uint8Array(4);
const { domain } = topology.groups[0] as (typeof topology.groups)[number];
console.log("device reads 0x100:", domain?.read(0, 0x100, bytes), bytes);
console.log("device reads outside the window:", domain?.read(0, 0x50000000, bytes));
console.log("state of the endpoint:", spapr.eeh.state(), "(2 is stopped)");
process.exit();
topology.close();
