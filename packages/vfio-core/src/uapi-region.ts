// Structs of a region's capabilities under their C names. Source: include/uapi/linux/vfio.h of Linux 6.12.
import { struct, u16, u32, u64 } from "@minivmm/host";

/** Followed by `nr_areas` of vfio_region_sparse_mmap_area. */
export const vfio_region_info_cap_sparse_mmap = struct("vfio_region_info_cap_sparse_mmap", {
  id: u16,
  version: u16,
  next: u32,
  nr_areas: u32,
  reserved: u32,
});

export const vfio_region_sparse_mmap_area = struct("vfio_region_sparse_mmap_area", { offset: u64, size: u64 });
