/**
 * VFIO_IOMMU_UNMAP_DMA. Mappings go whole or not at all, and `size` says how much went; after an error the caller's
 * struct is as it was.
 *
 * Version 2 refuses a range that starts or ends inside a mapping. Version 1 takes the mapping that the range covers the
 * start of, whole, and stops at once at one that starts before the range. A range that ends at 2^64 finds nothing: its
 * end, 64 bits wide, is 0. With VADDR the mappings stay, but give up their user address; one that has done so already
 * fails the call and undoes it. Source: vfio_iommu_type1_unmap_dma, vfio_dma_do_unmap.
 */
import { EBUSY, EINVAL } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_bitmap,
  vfio_iommu_type1_dma_unmap,
} from "../../uapi.ts";
import { checkUserBitmap, reportDirty, type UserBitmap } from "./dirty.ts";
import { IOVA_PAGES } from "./hardware.ts";
import { isAligned, isZero, pagesAt, setPages } from "./iova.ts";
import type { DmaMapping } from "./mapping.ts";
import type { Type1State } from "./state.ts";

const { size: SIZE, offsets: AT } = vfio_iommu_type1_dma_unmap;
const DIRTY = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
const ALL = VFIO_DMA_UNMAP_FLAG_ALL;
const VADDR = VFIO_DMA_UNMAP_FLAG_VADDR;

export function unmapDma(state: Type1State, call: IoctlCall): number {
  const own = call.arg.view(SIZE, "rw");
  const view = own ?? new DataView(call.arg.copyIn(SIZE).buffer);
  const flags = view.getUint32(AT.flags, true);
  const argsz = view.getUint32(AT.argsz, true);
  if (argsz < SIZE || (flags & ~(DIRTY | ALL | VADDR)) !== 0) return -EINVAL;
  let bitmap: UserBitmap | null = null;
  if ((flags & DIRTY) !== 0) {
    if ((flags & (ALL | VADDR)) !== 0 || argsz < SIZE + vfio_bitmap.size) return -EINVAL;
    bitmap = vfio_bitmap.decode(call.arg.copyIn(vfio_bitmap.size, SIZE));
    const result = checkUserBitmap(bitmap, view.getBigUint64(AT.size, true));
    if (result < 0) return result;
  }
  const pages = unmapRange(state, call, view, flags, bitmap);
  if (pages < 0) return pages;
  setPages(view, AT.size, pages);
  if (!own) call.arg.copyOut(new Uint8Array(view.buffer));
  return 0;
}

/** Pages of 4 KiB that went, or -errno. */
function unmapRange(
  state: Type1State,
  call: IoctlCall,
  view: DataView,
  flags: number,
  bitmap: UserBitmap | null,
): number {
  const unit = state.pgsize;
  const all = (flags & ALL) !== 0;
  if ((flags & VADDR) !== 0 && state.emulatedGroups > 0) return -EBUSY;
  if (!isAligned(view, AT.iova, unit)) return -EINVAL;
  const start = pagesAt(view, AT.iova);
  const sized = !isZero(view, AT.size);
  if (all) {
    if (start !== 0 || sized) return -EINVAL;
  } else if (!sized || !isAligned(view, AT.size, unit)) {
    return -EINVAL;
  }
  const end = all ? IOVA_PAGES : start + pagesAt(view, AT.size);
  if (end > IOVA_PAGES) return -EINVAL;
  if (bitmap && (!state.dirtyTracking || bitmap.pgsize !== BigInt(unit))) return -EINVAL;
  if (state.v2 && !all && state.mappings.cuts(start, end)) return -EINVAL;
  if (end === IOVA_PAGES && !all) return 0;

  const first = state.mappings.overlap(start, end);
  if (!first || (!state.v2 && start > first.start)) return 0;
  if ((flags & VADDR) !== 0) return invalidate(state, state.mappings.overlapping(start, end));
  if (!bitmap && first.end >= end) return removeOne(state, first);
  return removeEach(state, call, state.mappings.overlapping(start, end), start, bitmap);
}

function removeOne(state: Type1State, mapping: DmaMapping): number {
  const pages = mapping.end - mapping.start;
  state.remove(mapping);
  return pages;
}

/** A bitmap that cannot be written ends the walk (KernelError EFAULT); what went before is gone. */
function removeEach(
  state: Type1State,
  call: IoctlCall,
  mappings: readonly DmaMapping[],
  base: number,
  bitmap: UserBitmap | null,
): number {
  let pages = 0;
  for (const mapping of mappings) {
    if (bitmap) reportDirty(state, call.arg, mapping, bitmap, base);
    pages += removeOne(state, mapping);
  }
  return pages;
}

/** One that is invalid already fails the call; what the kernel marked before it, it restores. */
function invalidate(state: Type1State, mappings: readonly DmaMapping[]): number {
  if (mappings.some((mapping) => mapping.vaddrInvalid)) return -EINVAL;
  let pages = 0;
  for (const mapping of mappings) {
    mapping.vaddrInvalid = true;
    pages += mapping.end - mapping.start;
  }
  state.vaddrInvalid += mappings.length;
  return pages;
}
