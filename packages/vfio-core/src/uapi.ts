/**
 * The VFIO user ABI: ioctl numbers, extension ids, flags, region and interrupt indexes, structs.
 *
 * Source: include/uapi/linux/vfio.h (6.12). C names throughout. Numbers depend on the architecture (powerpc has other
 * direction bits), structs do not. Numbers 112..121 are shared between kinds of descriptors: the descriptor decides.
 */
import { type Arch, ioctlNumbers, pad, s32, struct, u16, u32, u64 } from "@minivmm/host";

export const VFIO_API_VERSION = 0;
export const VFIO_TYPE = 0x3b; // ';'
export const VFIO_BASE = 100;

/** Command numbers, before the architecture's direction bits. */
const COMMANDS = {
  VFIO_GET_API_VERSION: 0,
  VFIO_CHECK_EXTENSION: 1,
  VFIO_SET_IOMMU: 2,
  VFIO_GROUP_GET_STATUS: 3,
  VFIO_GROUP_SET_CONTAINER: 4,
  VFIO_GROUP_UNSET_CONTAINER: 5,
  VFIO_GROUP_GET_DEVICE_FD: 6,
  VFIO_DEVICE_GET_INFO: 7,
  VFIO_DEVICE_GET_REGION_INFO: 8,
  VFIO_DEVICE_GET_IRQ_INFO: 9,
  VFIO_DEVICE_SET_IRQS: 10,
  VFIO_DEVICE_RESET: 11,
  VFIO_DEVICE_IOEVENTFD: 16,
  VFIO_DEVICE_FEATURE: 17,
  VFIO_DEVICE_BIND_IOMMUFD: 18,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: 19,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: 20,
} as const;

export type VfioIoctls = { readonly [K in keyof typeof COMMANDS]: number };

/** `_IO(';', 100 + nr)`, for packages that own further numbers of this range. */
export function vfioIoctl(arch: Arch, nr: number): number {
  return ioctlNumbers(arch).IO(VFIO_TYPE, VFIO_BASE + nr);
}

/** Request numbers of container, group and device descriptors. */
export function vfioIoctls(arch: Arch): VfioIoctls {
  return Object.fromEntries(Object.entries(COMMANDS).map(([name, nr]) => [name, vfioIoctl(arch, nr)])) as VfioIoctls;
}

// Extensions: arguments of CHECK_EXTENSION; the IOMMU types among them are arguments of SET_IOMMU too.
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_SPAPR_TCE_IOMMU = 2;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_EEH = 5;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

export const VFIO_GROUP_FLAGS_VIABLE = 1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 2;

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_DEVICE_FLAGS_CAPS = 0x80;

export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;
/** A region's file offset is its index times this (index << 40). */
export const VFIO_PCI_OFFSET_SIZE = 0x100_0000_0000;

export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;

export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38;

export const VFIO_DEVICE_IOEVENTFD_8 = 1;
export const VFIO_DEVICE_IOEVENTFD_16 = 2;
export const VFIO_DEVICE_IOEVENTFD_32 = 4;
export const VFIO_DEVICE_IOEVENTFD_64 = 8;
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;

/** Head of every entry of a capability chain; `next` counts from the start of the info struct, 0 ends. */
export const vfio_info_cap_header = struct("vfio_info_cap_header", { id: u16, version: u16, next: u32 });
export const vfio_group_status = struct("vfio_group_status", { argsz: u32, flags: u32 });
export const vfio_device_info = struct("vfio_device_info", {
  argsz: u32,
  flags: u32,
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
  pad: pad(4),
});
export const vfio_region_info = struct("vfio_region_info", {
  argsz: u32,
  flags: u32,
  index: u32,
  cap_offset: u32,
  size: u64,
  offset: u64,
});
export const vfio_irq_info = struct("vfio_irq_info", { argsz: u32, flags: u32, index: u32, count: u32 });
/** Followed at byte 20 by `count` elements: nothing, bytes or s32 descriptors. */
export const vfio_irq_set = struct("vfio_irq_set", { argsz: u32, flags: u32, index: u32, start: u32, count: u32 });
export const vfio_device_ioeventfd = struct("vfio_device_ioeventfd", {
  argsz: u32,
  flags: u32,
  offset: u64,
  data: u64,
  fd: s32,
  reserved: pad(4),
});
/** Followed at byte 8 by the feature's own data. */
export const vfio_device_feature = struct("vfio_device_feature", { argsz: u32, flags: u32 });
export const vfio_device_low_power_entry_with_wakeup = struct("vfio_device_low_power_entry_with_wakeup", {
  wakeup_eventfd: s32,
  reserved: pad(4),
});

const TYPE1_COMMANDS = {
  VFIO_IOMMU_GET_INFO: 12,
  VFIO_IOMMU_MAP_DMA: 13,
  VFIO_IOMMU_UNMAP_DMA: 14,
  VFIO_IOMMU_DIRTY_PAGES: 17,
} as const;

export type Type1Ioctls = { readonly [K in keyof typeof TYPE1_COMMANDS]: number };

/** Request numbers of a container with a type1 IOMMU. */
export function type1Ioctls(arch: Arch): Type1Ioctls {
  return Object.fromEntries(
    Object.entries(TYPE1_COMMANDS).map(([name, nr]) => [name, vfioIoctl(arch, nr)]),
  ) as Type1Ioctls;
}

export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/** Directions are the device's: READ lets it read memory. */
export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_MAP_FLAG_VADDR = 4;
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 4;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4;

export const vfio_iommu_type1_info = struct("vfio_iommu_type1_info", {
  argsz: u32,
  flags: u32,
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: pad(4),
});
/** Followed by `nr_iovas` of vfio_iova_range. */
export const vfio_iommu_type1_info_cap_iova_range = struct("vfio_iommu_type1_info_cap_iova_range", {
  header: vfio_info_cap_header,
  nr_iovas: u32,
  reserved: pad(4),
});
/** Both ends belong to the range. */
export const vfio_iova_range = struct("vfio_iova_range", { start: u64, end: u64 });
export const vfio_iommu_type1_info_cap_migration = struct("vfio_iommu_type1_info_cap_migration", {
  header: vfio_info_cap_header,
  flags: u32,
  pgsize_bitmap: u64,
  max_dirty_bitmap_size: u64,
});
export const vfio_iommu_type1_info_dma_avail = struct("vfio_iommu_type1_info_dma_avail", {
  header: vfio_info_cap_header,
  avail: u32,
});
export const vfio_iommu_type1_dma_map = struct("vfio_iommu_type1_dma_map", {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  iova: u64,
  size: u64,
});
/** With GET_DIRTY_BITMAP, followed by a vfio_bitmap. */
export const vfio_iommu_type1_dma_unmap = struct("vfio_iommu_type1_dma_unmap", {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
});
/** `size` in bytes, `data` a user address. */
export const vfio_bitmap = struct("vfio_bitmap", { pgsize: u64, size: u64, data: u64 });
/** With GET_BITMAP, followed by a vfio_iommu_type1_dirty_bitmap_get. */
export const vfio_iommu_type1_dirty_bitmap = struct("vfio_iommu_type1_dirty_bitmap", { argsz: u32, flags: u32 });
export const vfio_iommu_type1_dirty_bitmap_get = struct("vfio_iommu_type1_dirty_bitmap_get", {
  iova: u64,
  size: u64,
  bitmap: vfio_bitmap,
});
