// Capability chains of info structs, as recordings show them: header, offset in the reply, and contents by id.
// Ids count for themselves in each kind of struct: 3 is a region's "MSI-X table may be mapped" and an IOMMU's "entries left".
// Sources: include/uapi/linux/vfio.h (vfio_info_cap_header and the capabilities of regions and of type1).

import * as vfio from "@minivmm/vfio-core";
import type { Json } from "../lines.ts";

/** What an id's capability holds behind its header. */
type Contents = Readonly<Record<number, (bytes: Uint8Array) => Json>>;

const IOMMU: Contents = {
  [vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE]: iovaRanges,
  [vfio.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION](bytes) {
    const { flags, pgsize_bitmap, max_dirty_bitmap_size } = vfio.vfio_iommu_type1_info_cap_migration.decode(bytes);
    return { flags, pgsize_bitmap, max_dirty_bitmap_size };
  },
  [vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL]: (bytes) => ({
    avail: vfio.vfio_iommu_type1_info_dma_avail.decode(bytes).avail,
  }),
};

/** For command tables: the chain of a reply whose struct has `cap_offset`. */
export function chainOf(kind: "iommu" | "other"): (bytes: Uint8Array, fields: Json, ret: number) => Json {
  const contents = kind === "iommu" ? IOMMU : {};
  return (bytes, { cap_offset }, ret) => {
    if (ret !== 0 || Number(cap_offset ?? 0) === 0) return {};
    const caps: Json[] = [];
    let offset = Number(cap_offset);
    for (const cap of vfio.capabilityChain(bytes, offset)) {
      const { id, version, next } = vfio.vfio_info_cap_header.decode(cap.bytes);
      caps.push({ id, version, offset, next, ...contents[id]?.(cap.bytes) });
      offset = next;
    }
    return { caps };
  };
}

function iovaRanges(bytes: Uint8Array): Json {
  const head = vfio.vfio_iommu_type1_info_cap_iova_range;
  const count = head.decode(bytes).nr_iovas;
  const iova_ranges = Array.from({ length: count }, (_, i) => {
    const { start, end } = vfio.vfio_iova_range.decode(bytes, head.size + i * vfio.vfio_iova_range.size);
    return [start, end];
  });
  return { iova_ranges };
}
