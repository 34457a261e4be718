import { describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";

describe("spapr-iommu uapi", () => {
  it("has the request numbers of both architectures", () => {
    const ppc = uapi.spaprIoctls("ppc64le");
    expect(ppc.VFIO_IOMMU_SPAPR_TCE_GET_INFO).toBe(0x20003b70);
    expect(ppc.VFIO_IOMMU_MAP_DMA).toBe(0x20003b71);
    expect(ppc.VFIO_IOMMU_SPAPR_TCE_CREATE).toBe(0x20003b77);
    expect(ppc.VFIO_EEH_PE_OP).toBe(0x20003b79);
    expect(uapi.spaprIoctls("x86_64").VFIO_IOMMU_ENABLE).toBe(0x3b73);
  });

  it.each([
    [uapi.vfio_iommu_spapr_tce_info, 32, { ddw: 16, dma32_window_size: 12 }],
    [uapi.vfio_iommu_spapr_register_memory, 24, { vaddr: 8, size: 16 }],
    [uapi.vfio_iommu_spapr_tce_create, 40, { page_shift: 8, window_size: 16, levels: 24, start_addr: 32 }],
    [uapi.vfio_iommu_spapr_tce_remove, 16, { start_addr: 8 }],
    [uapi.vfio_iommu_type1_dma_map, 32, { vaddr: 8, iova: 16, size: 24 }],
    [uapi.vfio_iommu_type1_dma_unmap, 24, { iova: 8, size: 16 }],
    [uapi.vfio_eeh_pe_op, 40, { op: 8, err: 16 }],
  ])("lays out $0.name as C does", (struct, size, offsets) => {
    expect(struct.size).toBe(size);
    expect(struct.offsets).toMatchObject(offsets);
  });
});
