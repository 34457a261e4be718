/**
 * VFIO_IOMMU_DIRTY_PAGES, and the user's bitmaps that UNMAP_DMA shares with it.
 *
 * An IOMMU does not tell which pages a device wrote, so with any group behind one every mapped page is dirty at every
 * report; only mediated devices can do better. Version 1 has none of this: EACCES, before the argument is looked at.
 * Source: vfio_iommu_type1_dirty_pages, vfio_iova_dirty_bitmap, verify_bitmap_size.
 */
import { EACCES, EINVAL } from "@minivmm/host";
import type { IoctlCall, UserArg } from "@minivmm/host/model";
import * as uapi from "../../uapi.ts";
import { DIRTY_BITMAP_SIZE_MAX, DIRTY_PAGES_MAX, DirtyBits, dirtyBitmapBytes } from "./dirty-bits.ts";
import { IOVA_PAGE_SIZE } from "./hardware.ts";
import type { DmaMapping } from "./mapping.ts";
import type { Type1State } from "./state.ts";

const START = uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
const STOP = uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
const GET_BITMAP = uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
/** End of user addresses: the last page below 2^47 is out of reach. */
const USER_END = (1n << 47n) - 4096n;

export interface UserBitmap {
  readonly pgsize: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** User address. */
  readonly data: bigint;
}

export function dirtyPages(state: Type1State, call: IoctlCall): number {
  if (!state.v2) return -EACCES;
  const { size } = uapi.vfio_iommu_type1_dirty_bitmap;
  const { argsz, flags } = uapi.vfio_iommu_type1_dirty_bitmap.decode(call.arg.copyIn(size));
  if (argsz < size) return -EINVAL;
  switch (flags) {
    case START:
      return startTracking(state);
    case STOP:
      stopTracking(state);
      return 0;
    case GET_BITMAP:
      return argsz - size < uapi.vfio_iommu_type1_dirty_bitmap_get.size ? -EINVAL : getBitmap(state, call.arg, size);
    default:
      return -EINVAL;
  }
}

/** 0 or -EINVAL: is the bitmap in user space, and large enough for `bytes` of IOVA? */
export function checkUserBitmap({ pgsize, size, data }: UserBitmap, bytes: bigint): number {
  if (data + size > USER_END || pgsize === 0n) return -EINVAL;
  const pages = bytes / (pgsize & -pgsize);
  if (pages === 0n || size === 0n || size > BigInt(DIRTY_BITMAP_SIZE_MAX)) return -EINVAL;
  return size < BigInt(dirtyBitmapBytes(Number(pages))) ? -EINVAL : 0;
}

/** A new mapping while pages are tracked: 0, or -EINVAL for one too large. `unit` is the IOMMU's smallest page. */
export function trackMapping(mapping: DmaMapping, unit: number): number {
  const pages = ((mapping.end - mapping.start) * IOVA_PAGE_SIZE) / unit;
  if (pages > DIRTY_PAGES_MAX) return -EINVAL;
  mapping.dirty = new DirtyBits(pages);
  return 0;
}

/** Writes one mapping's bits to a bitmap that begins at IOVA page `base`. Throws KernelError EFAULT. */
export function reportDirty(
  { iommuGroups, pgsize }: Type1State,
  arg: UserArg,
  mapping: DmaMapping,
  bitmap: UserBitmap,
  base: number,
): void {
  const offset = ((mapping.start - base) * IOVA_PAGE_SIZE) / pgsize;
  mapping.dirty?.report(arg, bitmap.data, offset, iommuGroups > 0 && mapping.runs !== null);
}

function startTracking(state: Type1State): number {
  if (state.dirtyTracking) return 0;
  const mappings = state.mappings.all();
  for (const mapping of mappings) {
    if (trackMapping(mapping, state.pgsize) === 0) continue;
    for (const each of mappings) each.dirty = null;
    return -EINVAL;
  }
  state.dirtyTracking = true;
  return 0;
}

function stopTracking(state: Type1State): void {
  for (const mapping of state.mappings.all()) mapping.dirty = null;
  state.dirtyTracking = false;
}

function getBitmap(state: Type1State, arg: UserArg, at: number): number {
  const struct = uapi.vfio_iommu_type1_dirty_bitmap_get;
  const { iova, size, bitmap } = struct.decode(arg.copyIn(struct.size, at));
  if (BigInt.asUintN(64, iova + size) < iova) return -EINVAL;
  const result = checkUserBitmap(bitmap, size);
  if (result < 0) return result;
  const unit = BigInt(state.pgsize);
  if (bitmap.pgsize !== unit || iova % unit !== 0n || size % unit !== 0n) return -EINVAL;
  if (!state.dirtyTracking) return -EINVAL;
  const start = Number(iova >> 12n);
  const end = start + Number(size >> 12n);
  if (state.mappings.cuts(start, end)) return -EINVAL;
  for (const mapping of state.mappings.overlapping(start, end)) {
    reportDirty(state, arg, mapping, bitmap, start);
    mapping.dirty?.clear();
  }
  return 0;
}
