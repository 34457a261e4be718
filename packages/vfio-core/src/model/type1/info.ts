/**
 * VFIO_IOMMU_GET_INFO: page sizes, and a chain of capabilities (migration, mappings left, valid IOVA ranges).
 *
 * A chain that does not fit leaves the caller's memory alone and says in `argsz` how much is needed. 6.12 rounds each
 * capability up to 8 bytes and writes the struct as far as argsz goes; 6.1 does neither.
 * Source: vfio_iommu_type1_get_info, vfio_info_cap_add.
 */
import { EINVAL } from "@minivmm/host";
import type { UserArg } from "@minivmm/host/model";
import * as uapi from "../../uapi.ts";
import { DIRTY_BITMAP_SIZE_MAX } from "./dirty-bits.ts";
import type { Type1State } from "./state.ts";

const MIN_SIZE = 16;
/** End of cap_offset: as far as 6.1 writes. */
const WITH_CAPS = 20;

export function getInfo(state: Type1State, arg: UserArg, wide: boolean): number {
  const argsz = new DataView(arg.copyIn(MIN_SIZE).buffer).getUint32(0, true);
  if (argsz < MIN_SIZE) return -EINVAL;
  const { size } = uapi.vfio_iommu_type1_info;
  const chain = capabilities(state, size, wide);
  const needed = size + chain.length;
  const fits = argsz >= needed;
  if (fits) arg.copyOut(chain, size);
  const reply = uapi.vfio_iommu_type1_info.encode({
    argsz: fits ? argsz : needed,
    flags: uapi.VFIO_IOMMU_INFO_PGSIZES | uapi.VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: state.pgsizes,
    cap_offset: fits ? size : 0,
  });
  const written = wide ? Math.min(argsz, size) : argsz >= WITH_CAPS ? WITH_CAPS : MIN_SIZE;
  arg.copyOut(reply.subarray(0, written));
  return 0;
}

/** The chain as it lies `base` bytes behind the struct's start. */
function capabilities(state: Type1State, base: number, wide: boolean): Uint8Array {
  const parts = [migration(state), dmaAvail(state), iovaRanges(state)].filter((part) => part !== null);
  const sizes = parts.map((part) => (wide ? Math.ceil(part.length / 8) * 8 : part.length));
  const chain = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  parts.forEach((part, i) => {
    const end = at + (sizes[i] as number);
    chain.set(part, at);
    new DataView(chain.buffer).setUint32(
      at + uapi.vfio_info_cap_header.offsets.next,
      i + 1 < parts.length ? base + end : 0,
      true,
    );
    at = end;
  });
  return chain;
}

function migration(state: Type1State): Uint8Array {
  return uapi.vfio_iommu_type1_info_cap_migration.encode({
    header: { id: uapi.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1, next: 0 },
    pgsize_bitmap: BigInt(state.pgsize),
    max_dirty_bitmap_size: BigInt(DIRTY_BITMAP_SIZE_MAX),
  });
}

function dmaAvail(state: Type1State): Uint8Array {
  return uapi.vfio_iommu_type1_info_dma_avail.encode({
    header: { id: uapi.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, next: 0 },
    avail: state.dmaAvail,
  });
}

/** Left out as long as no IOMMU has said what it can address. */
function iovaRanges(state: Type1State): Uint8Array | null {
  const { list } = state.windows;
  if (list.length === 0) return null;
  const head = uapi.vfio_iommu_type1_info_cap_iova_range;
  const range = uapi.vfio_iova_range;
  const bytes = new Uint8Array(head.size + list.length * range.size);
  head.encode(
    { header: { id: uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, next: 0 }, nr_iovas: list.length },
    bytes,
  );
  list.forEach(({ start, end }, i) => {
    const value = { start: BigInt(start) << 12n, end: (BigInt(end) << 12n) - 1n };
    bytes.set(range.encode(value), head.size + i * range.size);
  });
  return bytes;
}
