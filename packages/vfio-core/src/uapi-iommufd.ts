/**
 * The iommufd user ABI: ioctl numbers of /dev/iommu, flags, structs.
 *
 * Source: include/uapi/linux/iommufd.h (6.12). Every struct begins with its own size; a caller's may be shorter (from the
 * size of the first version on) or longer (then with zeros behind what the kernel knows). Ranges have a first and a last
 * byte. Addresses inside structs are user pointers.
 */
import { type Arch, ioctlNumbers, pad, struct, u8, u16, u32, u64 } from "@minivmm/host";

export const IOMMUFD_TYPE = 0x3b; // ';'
export const IOMMUFD_CMD_BASE = 0x80;

const COMMANDS = {
  IOMMU_DESTROY: 0x80,
  IOMMU_IOAS_ALLOC: 0x81,
  IOMMU_IOAS_ALLOW_IOVAS: 0x82,
  IOMMU_IOAS_COPY: 0x83,
  IOMMU_IOAS_IOVA_RANGES: 0x84,
  IOMMU_IOAS_MAP: 0x85,
  IOMMU_IOAS_UNMAP: 0x86,
  IOMMU_OPTION: 0x87,
  IOMMU_VFIO_IOAS: 0x88,
  IOMMU_HWPT_ALLOC: 0x89,
  IOMMU_GET_HW_INFO: 0x8a,
  IOMMU_HWPT_SET_DIRTY_TRACKING: 0x8b,
  IOMMU_HWPT_GET_DIRTY_BITMAP: 0x8c,
  IOMMU_HWPT_INVALIDATE: 0x8d,
  IOMMU_FAULT_QUEUE_ALLOC: 0x8e,
} as const;

export type IommufdCommand = keyof typeof COMMANDS;
export type IommufdIoctls = { readonly [K in IommufdCommand]: number };

/** Request numbers of an iommufd. Those of a VFIO container are answered by it too. */
export function iommufdIoctls(arch: Arch): IommufdIoctls {
  const { IO } = ioctlNumbers(arch);
  return Object.fromEntries(
    Object.entries(COMMANDS).map(([name, nr]) => [name, IO(IOMMUFD_TYPE, nr)]),
  ) as IommufdIoctls;
}

/** Take `iova` as it is; without the flag the kernel chooses. */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
/** The device may write. */
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
/** The device may read. */
export const IOMMU_IOAS_MAP_READABLE = 4;

/** 0: pages are charged to the user, 1: to the address space, as VFIO's type1 does. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** 0: map in single pages, 1: in large ones where possible. */
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1;

export const iommu_destroy = struct("iommu_destroy", { size: u32, id: u32 });
export const iommu_ioas_alloc = struct("iommu_ioas_alloc", { size: u32, flags: u32, out_ioas_id: u32 });
export const iommu_iova_range = struct("iommu_iova_range", { start: u64, last: u64 });
export const iommu_ioas_iova_ranges = struct("iommu_ioas_iova_ranges", {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
  out_iova_alignment: u64,
});
export const iommu_ioas_allow_iovas = struct("iommu_ioas_allow_iovas", {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
});
export const iommu_ioas_map = struct("iommu_ioas_map", {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
export const iommu_ioas_copy = struct("iommu_ioas_copy", {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
export const iommu_ioas_unmap = struct("iommu_ioas_unmap", { size: u32, ioas_id: u32, iova: u64, length: u64 });
export const iommu_option = struct("iommu_option", {
  size: u32,
  option_id: u32,
  op: u16,
  __reserved: u16,
  object_id: u32,
  val64: u64,
});
export const iommu_vfio_ioas = struct("iommu_vfio_ioas", { size: u32, ioas_id: u32, op: u16, __reserved: u16 });
export const iommu_hwpt_alloc = struct("iommu_hwpt_alloc", {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  __reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  __reserved2: u32,
});
export const iommu_hw_info = struct("iommu_hw_info", {
  size: u32,
  flags: u32,
  dev_id: u32,
  data_len: u32,
  data_uptr: u64,
  out_data_type: u32,
  out_max_pasid_log2: u8,
  __reserved0: u8,
  __reserved1: u8,
  __reserved2: u8,
  out_capabilities: u64,
});
/** Registers of section 11.4 of Intel's VT-d specification. */
export const iommu_hw_info_vtd = struct("iommu_hw_info_vtd", {
  flags: u32,
  __reserved: pad(4),
  cap_reg: u64,
  ecap_reg: u64,
});
export const iommu_hwpt_set_dirty_tracking = struct("iommu_hwpt_set_dirty_tracking", {
  size: u32,
  flags: u32,
  hwpt_id: u32,
  __reserved: u32,
});
/** `data` points to a bitmap whose bits stand for `page_size` bytes each. */
export const iommu_hwpt_get_dirty_bitmap = struct("iommu_hwpt_get_dirty_bitmap", {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
});
export const iommu_hwpt_invalidate = struct("iommu_hwpt_invalidate", {
  size: u32,
  hwpt_id: u32,
  data_uptr: u64,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  __reserved: u32,
});
export const iommu_fault_alloc = struct("iommu_fault_alloc", {
  size: u32,
  flags: u32,
  out_fault_id: u32,
  out_fault_fd: u32,
});
