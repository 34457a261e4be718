/**
 * MAP_DMA and UNMAP_DMA with buffers that are made once, for users that map page by page (a virtual IOMMU). Type1 and
 * sPAPR containers share the two ioctls. Addresses in halves, sizes in bytes below 2^53, raw results, no allocation.
 */
import type { Host } from "@minivmm/host";
import { vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap } from "../uapi.ts";

const MAP = vfio_iommu_type1_dma_map.offsets;
const UNMAP = vfio_iommu_type1_dma_unmap.offsets;
const TWO_32 = 0x1_0000_0000;

/** Request numbers of the two calls on the host's architecture. */
export interface DmaRequests {
  readonly VFIO_IOMMU_MAP_DMA: number;
  readonly VFIO_IOMMU_UNMAP_DMA: number;
}

export class DmaCalls {
  readonly #host: Host;
  readonly #fd: number;
  readonly #ioctls: DmaRequests;
  readonly #map: Uint8Array = vfio_iommu_type1_dma_map.encode({ argsz: vfio_iommu_type1_dma_map.size });
  readonly #mapView: DataView = new DataView(this.#map.buffer);
  readonly #unmap: Uint8Array = vfio_iommu_type1_dma_unmap.encode({ argsz: vfio_iommu_type1_dma_unmap.size });
  readonly #unmapView: DataView = new DataView(this.#unmap.buffer);
  /** Bytes that the last successful unmap took away; sPAPR does not say and leaves the size that was asked for. */
  unmapped = 0;

  constructor(host: Host, fd: number, ioctls: DmaRequests) {
    this.#host = host;
    this.#fd = fd;
    this.#ioctls = ioctls;
  }

  /** `flags` are VFIO_DMA_MAP_FLAG_*. */
  map(iovaHi: number, iovaLo: number, vaddrHi: number, vaddrLo: number, size: number, flags: number): number {
    const view = this.#mapView;
    view.setUint32(MAP.flags, flags, true);
    view.setUint32(MAP.vaddr, vaddrLo, true);
    view.setUint32(MAP.vaddr + 4, vaddrHi, true);
    view.setUint32(MAP.iova, iovaLo, true);
    view.setUint32(MAP.iova + 4, iovaHi, true);
    view.setUint32(MAP.size, size % TWO_32, true);
    view.setUint32(MAP.size + 4, size / TWO_32, true);
    return this.#host.ioctl(this.#fd, this.#ioctls.VFIO_IOMMU_MAP_DMA, this.#map);
  }

  /** `flags` are VFIO_DMA_UNMAP_FLAG_*; default 0. */
  unmap(iovaHi: number, iovaLo: number, size: number, flags = 0): number {
    const view = this.#unmapView;
    view.setUint32(UNMAP.flags, flags, true);
    view.setUint32(UNMAP.iova, iovaLo, true);
    view.setUint32(UNMAP.iova + 4, iovaHi, true);
    view.setUint32(UNMAP.size, size % TWO_32, true);
    view.setUint32(UNMAP.size + 4, size / TWO_32, true);
    const result = this.#host.ioctl(this.#fd, this.#ioctls.VFIO_IOMMU_UNMAP_DMA, this.#unmap);
    if (result === 0) {
      this.unmapped = view.getUint32(UNMAP.size + 4, true) * TWO_32 + view.getUint32(UNMAP.size, true);
    }
    return result;
  }
}
