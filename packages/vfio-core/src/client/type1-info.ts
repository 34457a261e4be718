/** What VFIO_IOMMU_GET_INFO tells about a type1 container. */
import { errnoName, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import * as uapi from "../uapi.ts";
import { type CapabilityBytes, capabilityChain } from "./info-caps.ts";

/** Both ends belong to the range. */
export interface IovaRange {
  readonly start: bigint;
  readonly end: bigint;
}

export interface Type1Info {
  /** One bit for each page size of the IOMMU; the lowest is the granularity of mappings. */
  readonly pageSizes: bigint;
  /** Bytes of the smallest page. */
  readonly pageSize: number;
  /** What may be mapped, ascending; null when the kernel does not say (before 5.4, or no device behind an IOMMU). */
  readonly iovaRanges: readonly IovaRange[] | null;
  /** Mappings that can still be made; null when the kernel does not say. */
  readonly dmaAvail: number | null;
  /** Bytes of the largest bitmap that one call takes; null: no dirty page tracking. */
  readonly maxDirtyBitmapSize: number | null;
}

/** Throws VfioError NO_IOMMU_TYPE as long as the container has none. */
export function readType1Info(host: Host, fd: number, request: number): Type1Info {
  const struct = uapi.vfio_iommu_type1_info;
  let arg = struct.encode({ argsz: struct.size });
  for (;;) {
    const result = host.ioctl(fd, request, arg);
    if (result < 0) throw noIommuType(result);
    const { argsz, flags, iova_pgsizes, cap_offset } = struct.decode(arg);
    if (argsz > arg.length) {
      arg = struct.encode({ argsz }, new Uint8Array(argsz));
      continue;
    }
    const caps = (flags & uapi.VFIO_IOMMU_INFO_CAPS) !== 0 ? capabilityChain(arg, cap_offset) : [];
    const find = (id: number) => caps.find((cap) => cap.id === id);
    return {
      pageSizes: iova_pgsizes,
      pageSize: Number(iova_pgsizes & -iova_pgsizes),
      iovaRanges: rangesOf(find(uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)),
      dmaAvail: availOf(find(uapi.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)),
      maxDirtyBitmapSize: bitmapSizeOf(find(uapi.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION)),
    };
  }
}

function rangesOf(cap: CapabilityBytes | undefined): IovaRange[] | null {
  if (!cap) return null;
  const head = uapi.vfio_iommu_type1_info_cap_iova_range;
  const range = uapi.vfio_iova_range;
  const room = Math.floor((cap.bytes.length - head.size) / range.size);
  const count = Math.min(head.decode(cap.bytes).nr_iovas, room);
  return Array.from({ length: count }, (_, i) => range.decode(cap.bytes, head.size + i * range.size));
}

function availOf(cap: CapabilityBytes | undefined): number | null {
  return cap ? uapi.vfio_iommu_type1_info_dma_avail.decode(cap.bytes).avail : null;
}

function bitmapSizeOf(cap: CapabilityBytes | undefined): number | null {
  return cap ? Number(uapi.vfio_iommu_type1_info_cap_migration.decode(cap.bytes).max_dirty_bitmap_size) : null;
}

function noIommuType(result: number): VfioError {
  return new VfioError(`the container tells nothing about its IOMMU: it has no type yet (${errnoName(-result)})`, {
    code: "NO_IOMMU_TYPE",
    errno: -result,
    hint: "Put a group into the container and set type 3 (TYPE1v2) first.",
  });
}
