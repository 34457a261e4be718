/**
 * VFIO_IOMMU_MAP_DMA. The order of errors is the kernel's and can be seen: an overlap (EEXIST) is noticed before the
 * count of mappings (ENOSPC), that before the valid IOVA ranges (EINVAL), and those before memory (EFAULT, ENOMEM).
 * With VFIO_DMA_MAP_FLAG_VADDR a mapping whose address was given up gets another one; its pages stay the same.
 * Source: vfio_iommu_type1_map_dma, vfio_dma_do_map, vfio_change_dma_owner.
 */
import { EEXIST, EINVAL, ENOENT, ENOSPC } from "@minivmm/host";
import type { AddressSpace, IoctlCall } from "@minivmm/host/model";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
} from "../../uapi.ts";
import { trackMapping } from "./dirty.ts";
import { IOVA_PAGES } from "./hardware.ts";
import { bytesAt, isAligned, isZero, pagesAt } from "./iova.ts";
import type { DmaMapping } from "./mapping.ts";
import type { Type1State } from "./state.ts";

const { size: SIZE, offsets: AT } = vfio_iommu_type1_dma_map;
const PROT = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

export function mapDma(state: Type1State, call: IoctlCall): number {
  const view = call.arg.view(SIZE, "r") ?? new DataView(call.arg.copyIn(SIZE).buffer);
  const flags = view.getUint32(AT.flags, true);
  if (view.getUint32(AT.argsz, true) < SIZE || (flags & ~(PROT | VFIO_DMA_MAP_FLAG_VADDR)) !== 0) return -EINVAL;
  const prot = flags & PROT;
  const update = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if ((prot !== 0) === update) return -EINVAL;

  const unit = state.pgsize;
  if (isZero(view, AT.size) || !isAligned(view, AT.size, unit)) return -EINVAL;
  if (!isAligned(view, AT.iova, unit) || !isAligned(view, AT.vaddr, unit)) return -EINVAL;
  const pages = pagesAt(view, AT.size);
  const start = pagesAt(view, AT.iova);
  if (start + pages > IOVA_PAGES || pagesAt(view, AT.vaddr) + pages > IOVA_PAGES) return -EINVAL;

  const { mm } = call.process;
  const vaddr = bytesAt(view, AT.vaddr);
  const present = state.mappings.overlap(start, start + pages);
  if (update) return present ? updateVaddr(state, present, start + pages, start, vaddr, mm) : -ENOENT;
  if (present) return -EEXIST;
  if (state.dmaAvail === 0) return -ENOSPC;
  if (!state.windows.allows(start, start + pages)) return -EINVAL;
  return insert(state, state.newMapping(start, start + pages, prot, vaddr, mm));
}

function insert(state: Type1State, mapping: DmaMapping): number {
  if (state.iommuGroups > 0) {
    const result = state.pinner.pin(mapping, state.pgsize);
    if (result < 0) return result;
  }
  state.mappings.add(mapping);
  state.dmaAvail--;
  if (!state.dirtyTracking) return 0;
  const result = trackMapping(mapping, state.pgsize);
  if (result < 0) state.remove(mapping);
  return result;
}

function updateVaddr(
  state: Type1State,
  mapping: DmaMapping,
  end: number,
  start: number,
  vaddr: number,
  mm: AddressSpace,
): number {
  if (!mapping.vaddrInvalid || mapping.start !== start || mapping.end !== end) return -EINVAL;
  const result = state.pinner.changeOwner(mapping, mm);
  if (result < 0) return result;
  mapping.vaddr = vaddr;
  mapping.vaddrInvalid = false;
  state.vaddrInvalid--;
  return 0;
}
