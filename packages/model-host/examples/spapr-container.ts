// Giving a device DMA on a POWER host with version 1 of the sPAPR container: find the window, enable the container
// (which charges the whole window as locked memory), map a megabyte, unmap it.
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";
import { SpaprContainer, SpaprError, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from "@minivmm/spapr-iommu";
import { iommuGroupOf, VFIO_SPAPR_TCE_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";

const MIB = 1024 * 1024;
using machine = modelHost("powernv9", { memlock: 1024 * MIB });
const host = machine.spawn({ capabilities: ["SYS_RESOURCE"] });

using container = VfioContainer.open(host);
using group = VfioGroup.open(host, iommuGroupOf(host, "0002:01:00.0"));
group.setContainer(container);
container.setIommu(VFIO_SPAPR_TCE_IOMMU);

const spapr = new SpaprContainer(container);
const { dma32WindowStart, dma32WindowSize } = spapr.info();
console.log(`DMA window: ${dma32WindowSize / MIB} MiB at 0x${dma32WindowStart.toString(16)}`);

// Knowing the window, a program can raise its limit on locked memory before it enables the container.
try {
  spapr.enable();
} catch (error) {
  if (!(error instanceof SpaprError) || error.code !== "MEMLOCK") throw error;
  console.log(`${error.message}\n  ${error.hint}`);
  const wanted = dma32WindowSize + 64 * MIB;
  host.setrlimit("memlock", { soft: wanted, hard: wanted });
  spapr.enable();
}

const memory = host.mmap({ length: MIB, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
if (typeof memory === "number") throw new Error(`mmap: ${memory}`);
const high = Number(memory.address >> 32n);
const low = Number(memory.address & 0xffff_ffffn);
const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

console.log("map 1 MiB at 0:", spapr.mapDma(0, dma32WindowStart, high, low, MIB, flags));
console.log("map beyond the window:", spapr.mapDma(0, dma32WindowSize, high, low, MIB, flags), "(-ENXIO)");
console.log("map off a page:", spapr.mapDma(0, 0x200, high, low, MIB, flags), "(the positive 1: nothing was mapped)");
console.log("unmap:", spapr.unmapDma(0, dma32WindowStart, MIB));
spapr.disable();
