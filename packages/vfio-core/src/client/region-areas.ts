/** Which parts of a region can be mapped: all of it, the areas of its sparse capability, or nothing. */
import { VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_MMAP } from "../uapi.ts";
import { vfio_region_info_cap_sparse_mmap, vfio_region_sparse_mmap_area } from "../uapi-region.ts";
import type { RegionInfo } from "./device.ts";

/** Bytes from the region's start. */
export interface RegionArea {
  readonly offset: number;
  readonly size: number;
}

export function mappableAreas(region: RegionInfo): RegionArea[] {
  if ((region.flags & VFIO_REGION_INFO_FLAG_MMAP) === 0) return [];
  const sparse = region.capabilities.find(({ id }) => id === VFIO_REGION_INFO_CAP_SPARSE_MMAP);
  if (sparse === undefined) return [{ offset: 0, size: region.size }];
  const head = vfio_region_info_cap_sparse_mmap;
  const area = vfio_region_sparse_mmap_area;
  const room = Math.floor((sparse.bytes.length - head.size) / area.size);
  const count = Math.min(head.decode(sparse.bytes).nr_areas, Math.max(room, 0));
  return Array.from({ length: count }, (_, i) => {
    const { offset, size } = area.decode(sparse.bytes, head.size + i * area.size);
    return { offset: Number(offset), size: Number(size) };
  });
}
