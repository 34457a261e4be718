/** IOMMU_HWPT_*: hardware page tables that users make, and the pages that devices wrote. Source: hw_pagetable.c. */
import { EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, type StructValue } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import * as uapi from "../../uapi-iommufd.ts";
import { IOVA_PAGE_SIZE } from "../type1/hardware.ts";
import { command } from "./command.ts";
import type { IommufdContext } from "./context.ts";
import { type IommufdDevice, iommufdDevice } from "./device.ts";
import { DirtyBitmap } from "./dirty-bitmap.ts";
import { Hwpt } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { smaller, U64_MAX } from "./ranges.ts";

const ENTRIES_MAX = 1 << 19;

export const hwptAlloc = command(uapi.iommu_hwpt_alloc, 24, (value, { context, respond }) => {
  const { data_type, data_len } = value;
  if (value.__reserved !== 0) return -EOPNOTSUPP;
  if ((data_type === uapi.IOMMU_HWPT_DATA_NONE) !== (data_len === 0)) return -EINVAL;
  const hwpt = makeHwpt(context, iommufdDevice(context, value.dev_id), value);
  try {
    hwpt.publish();
    value.out_hwpt_id = hwpt.id;
    respond();
  } catch (error) {
    context.objects.abort(hwpt);
    throw error;
  }
  return 0;
});

function makeHwpt(
  context: IommufdContext,
  { unit }: IommufdDevice,
  { pt_id, flags, data_len }: StructValue<typeof uapi.iommu_hwpt_alloc>,
): Hwpt {
  const target = context.objects.find(pt_id);
  if (target instanceof Ioas) {
    // The hardware has nothing to be told about a page table of the kernel's.
    if (data_len > 0) throw new KernelError(EOPNOTSUPP);
    return new Hwpt(context, target, unit, flags);
  }
  if (!(target instanceof Hwpt)) throw new KernelError(EINVAL);
  // On top of another one: page tables in the guest's memory, which the model does not walk.
  if ((flags & ~uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0 || data_len === 0) throw new KernelError(EOPNOTSUPP);
  throw new KernelError(target.automatic || !target.nestParent ? EINVAL : EOPNOTSUPP);
}

export const hwptSetDirtyTracking = command(uapi.iommu_hwpt_set_dirty_tracking, 16, (value, { context }) => {
  if ((value.flags & ~uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) return -EOPNOTSUPP;
  const { domain } = Hwpt.get(context, value.hwpt_id);
  if (!domain.marksPages) return -EOPNOTSUPP;
  domain.setTracking((value.flags & uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0);
  return 0;
});

/** Bits of dirty pages are set, others left alone. What is not mapped, or has no bitmap behind it, is passed over. */
export const hwptGetDirtyBitmap = command(uapi.iommu_hwpt_get_dirty_bitmap, 48, (value, { context, call }) => {
  if ((value.flags & ~uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || value.__reserved !== 0) return -EOPNOTSUPP;
  const { domain, ioas } = Hwpt.get(context, value.hwpt_id);
  const { iova, length, page_size } = value;
  if (length === 0n) return -EINVAL;
  const end = iova + length;
  if (end - 1n > U64_MAX) return -EOVERFLOW;
  const { alignment, areas } = ioas.table.space;
  if ((iova | end) % alignment !== 0n || page_size === 0n) return -EINVAL;
  if (((iova | BigInt.asUintN(64, end)) & (page_size - 1n)) !== 0n) return -EINVAL;
  if (!domain.marksPages) return -EOPNOTSUPP;
  const bitmap = new DirtyBitmap(call.arg.at(value.data), iova, page_size & -page_size);
  const clear = (value.flags & uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) === 0;
  let next = iova;
  for (const area of areas.overlapping(iova, end - 1n)) {
    if (area.first > next) break;
    const last = smaller(area.last, end - 1n);
    domain.eachDirty(Number(next >> 12n), Number((last + 1n) >> 12n), clear, (page) =>
      bitmap.set(page, IOVA_PAGE_SIZE),
    );
    next = last + 1n;
  }
  return 0;
});

/** Only page tables on top of others have anything to invalidate, and there are none. `entry_num`: how many were done. */
export const hwptInvalidate = command(uapi.iommu_hwpt_invalidate, 32, (value, { call, respond }) => {
  const { entry_num, entry_len, data_uptr } = value;
  const { pageSize } = call.process;
  const wrong =
    entry_num > 0 && (data_uptr === 0n || entry_len === 0 || entry_len > pageSize || entry_num > ENTRIES_MAX);
  const result = value.__reserved !== 0 ? EOPNOTSUPP : wrong ? EINVAL : ENOENT;
  value.entry_num = 0;
  respond();
  return -result;
});
