// Type1's ioctls for the player: structs as recordings name their fields, and the capability chain of GET_INFO.
import { struct, u32, u64 } from "@minivmm/host";
import * as uapi from "../../src/index.ts";
import { COMMANDS } from "./player.ts";

const bitmap = { bitmap_pgsize: u64, bitmap_size: u64, bitmap_data: u64 };
const numbers = uapi.type1Ioctls("x86_64");

/** Fields of a capability behind its header, in the order of the recordings. */
function contents(id: number, bytes: Uint8Array): Record<string, unknown> {
  if (id === uapi.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION) {
    const { flags, pgsize_bitmap, max_dirty_bitmap_size } = uapi.vfio_iommu_type1_info_cap_migration.decode(bytes);
    return { flags, pgsize_bitmap: Number(pgsize_bitmap), max_dirty_bitmap_size: Number(max_dirty_bitmap_size) };
  }
  if (id === uapi.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
    return { avail: uapi.vfio_iommu_type1_info_dma_avail.decode(bytes).avail };
  }
  const head = uapi.vfio_iommu_type1_info_cap_iova_range;
  const iova_ranges = Array.from({ length: head.decode(bytes).nr_iovas }, (_, i) => {
    const range = uapi.vfio_iova_range.decode(bytes, head.size + i * uapi.vfio_iova_range.size);
    return [Number(range.start), Number(range.end)];
  });
  return { iova_ranges };
}

COMMANDS.VFIO_IOMMU_GET_INFO = {
  request: numbers.VFIO_IOMMU_GET_INFO,
  struct: uapi.vfio_iommu_type1_info,
  tail(bytes, { cap_offset }, ret) {
    if (ret !== 0 || !cap_offset) return {};
    let offset = Number(cap_offset);
    const caps = uapi.capabilityChain(bytes, offset).map((cap) => {
      const { id, version, next } = uapi.vfio_info_cap_header.decode(cap.bytes);
      const entry = { id, version, offset, next, ...contents(id, cap.bytes) };
      offset = next;
      return entry;
    });
    return { caps };
  },
};
COMMANDS.VFIO_IOMMU_MAP_DMA = { request: numbers.VFIO_IOMMU_MAP_DMA, struct: uapi.vfio_iommu_type1_dma_map };
COMMANDS.VFIO_IOMMU_UNMAP_DMA = {
  request: numbers.VFIO_IOMMU_UNMAP_DMA,
  struct: struct("unmap with bitmap", { argsz: u32, flags: u32, iova: u64, size: u64, ...bitmap }),
};
COMMANDS.VFIO_IOMMU_DIRTY_PAGES = {
  request: numbers.VFIO_IOMMU_DIRTY_PAGES,
  struct: struct("dirty pages with range", { argsz: u32, flags: u32, iova: u64, size: u64, ...bitmap }),
};
// Ioctls of other IOMMUs and of KVM, which a type1 container does not know.
for (const [name, nr] of Object.entries({ VFIO_IOMMU_ENABLE: 15, VFIO_IOMMU_DISABLE: 16 })) {
  COMMANDS[name] = { request: uapi.vfioIoctl("x86_64", nr) };
}
COMMANDS.VFIO_EEH_PE_OP = {
  request: uapi.vfioIoctl("x86_64", 21),
  struct: struct("vfio_eeh_pe_op", { argsz: u32, flags: u32, op: u32 }),
};
COMMANDS.KVM_GET_API_VERSION = { request: 0xae00 };
COMMANDS.KVM_CREATE_VM = { request: 0xae01 };
