// The user ABI of the sPAPR TCE IOMMU: container ioctl numbers and structs, EEH operations, TCE permission bits.
// Source: include/uapi/linux/vfio.h (6.12), arch/powerpc/include/asm/tce.h. C names; struct bytes are the same on
// every architecture, ioctl numbers are not (powerpc has other direction bits).
import { type Arch, pad, struct, u32, u64 } from "@minivmm/host";
import { vfioIoctl } from "@minivmm/vfio-core";

/** MAP_DMA and UNMAP_DMA are type1's: sPAPR takes their fixed part, without the dirty bitmap. */
export {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from "@minivmm/vfio-core";

const COMMANDS = {
  VFIO_IOMMU_SPAPR_TCE_GET_INFO: 12,
  VFIO_IOMMU_MAP_DMA: 13,
  VFIO_IOMMU_UNMAP_DMA: 14,
  VFIO_IOMMU_ENABLE: 15,
  VFIO_IOMMU_DISABLE: 16,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: 17,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: 18,
  VFIO_IOMMU_SPAPR_TCE_CREATE: 19,
  VFIO_IOMMU_SPAPR_TCE_REMOVE: 20,
  VFIO_EEH_PE_OP: 21,
} as const;

export type SpaprIoctls = { readonly [K in keyof typeof COMMANDS]: number };

/** Request numbers of an sPAPR container on an architecture. */
export function spaprIoctls(arch: Arch): SpaprIoctls {
  return Object.fromEntries(Object.entries(COMMANDS).map(([name, nr]) => [name, vfioIoctl(arch, nr)])) as SpaprIoctls;
}

/** TCE permission bits: the device may read memory, the device may write it. Also the flags of MAP_DMA. */
export const TCE_PCI_READ = 1;
export const TCE_PCI_WRITE = 2;

/** GET_INFO flag: dynamic windows exist and `ddw` is filled in. */
export const VFIO_IOMMU_SPAPR_INFO_DDW = 1;
/** Windows that one group can have. */
export const IOMMU_TABLE_GROUP_MAX_TABLES = 2;

export const VFIO_EEH_PE_DISABLE = 0;
export const VFIO_EEH_PE_ENABLE = 1;
export const VFIO_EEH_PE_UNFREEZE_IO = 2;
export const VFIO_EEH_PE_UNFREEZE_DMA = 3;
export const VFIO_EEH_PE_GET_STATE = 4;
export const VFIO_EEH_PE_RESET_DEACTIVATE = 5;
export const VFIO_EEH_PE_RESET_HOT = 6;
export const VFIO_EEH_PE_RESET_FUNDAMENTAL = 7;
export const VFIO_EEH_PE_CONFIGURE = 8;
export const VFIO_EEH_PE_INJECT_ERR = 9;

export const VFIO_EEH_PE_STATE_NORMAL = 0;
export const VFIO_EEH_PE_STATE_RESET = 1;
export const VFIO_EEH_PE_STATE_STOPPED = 2;
export const VFIO_EEH_PE_STATE_STOPPED_DMA = 4;
export const VFIO_EEH_PE_STATE_UNAVAIL = 5;

export const vfio_iommu_spapr_tce_ddw_info = struct("vfio_iommu_spapr_tce_ddw_info", {
  pgsizes: u64,
  max_dynamic_windows_supported: u32,
  levels: u32,
});
export const vfio_iommu_spapr_tce_info = struct("vfio_iommu_spapr_tce_info", {
  argsz: u32,
  flags: u32,
  dma32_window_start: u32,
  dma32_window_size: u32,
  ddw: vfio_iommu_spapr_tce_ddw_info,
});
export const vfio_iommu_spapr_register_memory = struct("vfio_iommu_spapr_register_memory", {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  size: u64,
});
export const vfio_iommu_spapr_tce_create = struct("vfio_iommu_spapr_tce_create", {
  argsz: u32,
  flags: u32,
  page_shift: u32,
  resv1: pad(4),
  window_size: u64,
  levels: u32,
  resv2: pad(4),
  start_addr: u64,
});
export const vfio_iommu_spapr_tce_remove = struct("vfio_iommu_spapr_tce_remove", {
  argsz: u32,
  flags: u32,
  start_addr: u64,
});
export const vfio_eeh_pe_err = struct("vfio_eeh_pe_err", { type: u32, func: u32, addr: u64, mask: u64 });
export const vfio_eeh_pe_op = struct("vfio_eeh_pe_op", { argsz: u32, flags: u32, op: u32, err: vfio_eeh_pe_err });
