// VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA of an sPAPR container: the checks up to the table, in the kernel's order.
// The hot path of user-space TCE handling: no allocation, 64-bit fields as two halves.
// Source: tce_iommu_ioctl, iommu_tce_check_ioba. A failed IOVA check is the integer 1 and not an error code: since 4.12
// the check is `a || b`, and the ioctl returns that. Overlaps are no error; `size` is not written back.
import { EINVAL, ENOMEM, ENXIO, EPERM } from "@minivmm/host";
import type { IoctlCall, UserArg } from "@minivmm/host/model";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from "../uapi.ts";
import type { LockedPages } from "./accounting.ts";
import { buildV1, buildV2 } from "./build.ts";
import { isAligned, pageNumber } from "./bus-address.ts";
import { clearTces, type PageUse } from "./clear.ts";
import type { SpaprProfile } from "./profile.ts";
import type { TceTable } from "./table.ts";
import type { ContainerWindows } from "./windows.ts";

const TWO_32 = 0x1_0000_0000;
const DIRECTIONS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const MAP = vfio_iommu_type1_dma_map.offsets;
const MAP_SIZE: number = vfio_iommu_type1_dma_map.size;
const UNMAP = vfio_iommu_type1_dma_unmap.offsets;
const UNMAP_SIZE: number = vfio_iommu_type1_dma_unmap.size;

export interface DmaState {
  readonly enabled: boolean;
  readonly profile: SpaprProfile;
  readonly windows: ContainerWindows;
  readonly account: LockedPages;
  readonly use: PageUse;
}

export function mapDma(state: DmaState, call: IoctlCall): number {
  if (!state.enabled) return -EPERM;
  const view = argument(call.arg, MAP_SIZE);
  const flags = view.getUint32(MAP.flags, true);
  if (view.getUint32(MAP.argsz, true) < MAP_SIZE || (flags & ~DIRECTIONS) !== 0) return -EINVAL;
  const pending = state.windows.createDefault();
  if (pending !== 0) return pending;
  const iovaLo = view.getUint32(MAP.iova, true);
  const iovaHi = view.getUint32(MAP.iova + 4, true);
  const table = state.windows.find(iovaHi, iovaLo);
  if (table === null) return -ENXIO;
  const sizeLo = view.getUint32(MAP.size, true);
  const sizeHi = view.getUint32(MAP.size + 4, true);
  const userLo = view.getUint32(MAP.vaddr, true);
  const userHi = view.getUint32(MAP.vaddr + 4, true);
  const shift = table.pageShift;
  if (!isAligned(sizeHi, sizeLo, shift) || !isAligned(userHi, userLo, shift) || flags === 0) return -EINVAL;
  const first = table.entryOf(iovaHi, iovaLo);
  if (!isAligned(iovaHi, iovaLo, shift)) return state.profile.positiveOne ? 1 : -EINVAL;
  const count = pageNumber(sizeHi, sizeLo, shift);
  const user = userHi * TWO_32 + userLo;
  const { mm } = state.account;
  if (mm === null) return -EPERM;
  if (!state.use.v2) return buildV1(table, first, count, user, flags, state.use, mm);
  if (!state.profile.eagerUserView && chargeUserView(state, table, mm.pageSize) < 0) return -ENOMEM;
  return buildV2(table, first, count, user, flags, state.use);
}

export function unmapDma(state: DmaState, call: IoctlCall): number {
  if (!state.enabled) return -EPERM;
  const view = argument(call.arg, UNMAP_SIZE);
  if (view.getUint32(UNMAP.argsz, true) < UNMAP_SIZE || view.getUint32(UNMAP.flags, true) !== 0) return -EINVAL;
  const pending = state.windows.createDefault();
  if (pending !== 0) return pending;
  const iovaLo = view.getUint32(UNMAP.iova, true);
  const iovaHi = view.getUint32(UNMAP.iova + 4, true);
  const table = state.windows.find(iovaHi, iovaLo);
  if (table === null) return -ENXIO;
  const sizeLo = view.getUint32(UNMAP.size, true);
  const sizeHi = view.getUint32(UNMAP.size + 4, true);
  if (!isAligned(sizeHi, sizeLo, table.pageShift)) return -EINVAL;
  const first = table.entryOf(iovaHi, iovaLo);
  const count = pageNumber(sizeHi, sizeLo, table.pageShift);
  const beyond = state.profile.rangeFix && first + count > table.entries;
  if (beyond || !isAligned(iovaHi, iovaLo, table.pageShift)) return state.profile.positiveOne ? 1 : -EINVAL;
  clearTces(table, first, count, state.use);
  return 0;
}

/** The struct's bytes: the caller's own ones, or a copy where they do not lie in one piece. Throws EFAULT. */
function argument(arg: UserArg, size: number): DataView {
  return arg.view(size, "r") ?? new DataView(arg.copyIn(size).buffer);
}

/** Up to 4.12 a table's user view appears, and is charged, when something is first mapped. */
function chargeUserView(state: DmaState, table: TceTable, pageSize: number): number {
  if (table.userView) return 0;
  const pages = Math.ceil((table.entries * 8) / pageSize);
  const result = state.account.charge(pages);
  if (result === 0) {
    table.userViewBytes = pages * pageSize;
    table.makeUserView();
  }
  return result;
}
