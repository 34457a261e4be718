// MAP_DMA and UNMAP_DMA with buffers that are made once: the calls that user-space TCE handling makes for every page.
// Numbers in halves, raw results, no allocation.
import type { Host } from "@minivmm/host";
import { type SpaprIoctls, vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap } from "../uapi.ts";

const MAP = vfio_iommu_type1_dma_map.offsets;
const UNMAP = vfio_iommu_type1_dma_unmap.offsets;
const TWO_32 = 0x1_0000_0000;

export class DmaCalls {
  readonly #host: Host;
  readonly #fd: number;
  readonly #mapRequest: number;
  readonly #unmapRequest: number;
  readonly #map: Uint8Array = vfio_iommu_type1_dma_map.encode({ argsz: vfio_iommu_type1_dma_map.size });
  readonly #mapView: DataView = new DataView(this.#map.buffer);
  readonly #unmap: Uint8Array = vfio_iommu_type1_dma_unmap.encode({ argsz: vfio_iommu_type1_dma_unmap.size });
  readonly #unmapView: DataView = new DataView(this.#unmap.buffer);

  constructor(host: Host, fd: number, ioctls: SpaprIoctls) {
    this.#host = host;
    this.#fd = fd;
    this.#mapRequest = ioctls.VFIO_IOMMU_MAP_DMA;
    this.#unmapRequest = ioctls.VFIO_IOMMU_UNMAP_DMA;
  }

  map(iovaHi: number, iovaLo: number, vaddrHi: number, vaddrLo: number, size: number, flags: number): number {
    const view = this.#mapView;
    view.setUint32(MAP.flags, flags, true);
    view.setUint32(MAP.vaddr, vaddrLo, true);
    view.setUint32(MAP.vaddr + 4, vaddrHi, true);
    view.setUint32(MAP.iova, iovaLo, true);
    view.setUint32(MAP.iova + 4, iovaHi, true);
    view.setUint32(MAP.size, size % TWO_32, true);
    view.setUint32(MAP.size + 4, size / TWO_32, true);
    return this.#host.ioctl(this.#fd, this.#mapRequest, this.#map);
  }

  unmap(iovaHi: number, iovaLo: number, size: number): number {
    const view = this.#unmapView;
    view.setUint32(UNMAP.iova, iovaLo, true);
    view.setUint32(UNMAP.iova + 4, iovaHi, true);
    view.setUint32(UNMAP.size, size % TWO_32, true);
    view.setUint32(UNMAP.size + 4, size / TWO_32, true);
    return this.#host.ioctl(this.#fd, this.#unmapRequest, this.#unmap);
  }
}
