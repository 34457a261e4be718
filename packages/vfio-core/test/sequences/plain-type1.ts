// The reference's rules of type1 mappings: a list of ranges with owners. Ranges, limits and errors in pages.
import { EACCES, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC } from "@minivmm/host";
import { ENTRIES, type MapCall, MEMLOCK, PAGES, RESERVED_PAGE, type UnmapCall } from "./calls.ts";
import type { PlainContainer, PlainMapping, PlainProcess } from "./plain-objects.ts";

const READ_WRITE = 3;
const VADDR = 4;
const UNMAP_DIRTY = 1;
const UNMAP_ALL = 2;
const UNMAP_VADDR = 4;

export class PlainType1 {
  /** Containers that have an IOMMU. */
  readonly containers = new Set<PlainContainer>();

  /** Pages charged to a process by all containers. */
  locked(process: PlainProcess): number {
    let sum = 0;
    for (const { mappings } of this.containers) {
      for (const each of mappings) if (each.owner === process) sum += each.pages;
    }
    return sum;
  }

  map(container: PlainContainer, process: PlainProcess, { iova, vaddr, pages, flags }: MapCall): number {
    const update = (flags & VADDR) !== 0;
    if (flags > 7 || ((flags & READ_WRITE) !== 0) === update || pages === 0) return -EINVAL;
    const hit = container.mappings.filter((each) => each.iova < iova + pages && each.iova + each.pages > iova);
    const first = lowest(hit);
    if (update) return first ? this.#updateVaddr(first, process, iova, pages) : -ENOENT;
    if (first) return -EEXIST;
    if (container.mappings.length === ENTRIES) return -ENOSPC;
    if (iova <= RESERVED_PAGE && iova + pages > RESERVED_PAGE) return -EINVAL;
    // Page after page is pinned: too many, or the first that is not there, whichever comes first.
    const present = Math.max(0, Math.min(pages, PAGES - vaddr));
    if (this.locked(process) + present > MEMLOCK) return -ENOMEM;
    if (present < pages) return -EFAULT;
    container.mappings.push({ iova, pages, owner: process, vaddrInvalid: false });
    return 0;
  }

  unmap(container: PlainContainer, { iova, pages, flags }: UnmapCall): number {
    const all = (flags & UNMAP_ALL) !== 0;
    const dirty = (flags & UNMAP_DIRTY) !== 0;
    if (flags > 7 || (dirty && flags !== UNMAP_DIRTY)) return -EINVAL;
    if (all ? iova !== 0 || pages !== 0 : pages === 0) return -EINVAL;
    if (dirty && !container.tracking) return -EINVAL;
    const end = all ? Number.POSITIVE_INFINITY : iova + pages;
    const hit = container.mappings.filter((each) => each.iova < end && each.iova + each.pages > iova);
    const before = hit.some((each) => each.iova < iova);
    const behind = hit.some((each) => each.iova + each.pages > end);
    if (container.type !== 1 && (before || behind)) return -EINVAL;
    // Version 1 stops at a mapping that starts before the range, which can only be the first one.
    const gone = before ? [] : hit;
    if ((flags & UNMAP_VADDR) !== 0) {
      if (gone.some((each) => each.vaddrInvalid)) return -EINVAL;
      for (const each of gone) each.vaddrInvalid = true;
    } else {
      container.mappings = container.mappings.filter((each) => !gone.includes(each));
    }
    return gone.reduce((sum, each) => sum + each.pages, 0);
  }

  dirty(container: PlainContainer, flags: number): number {
    if (container.type === 1) return -EACCES;
    container.tracking = flags === 1;
    return 0;
  }

  /** With a group behind an IOMMU every mapped page is dirty. */
  bitmap(container: PlainContainer, iova: number, pages: number): number {
    if (container.type === 1) return -EACCES;
    if (pages === 0 || !container.tracking) return -EINVAL;
    const end = iova + pages;
    const hit = container.mappings.filter((each) => each.iova < end && each.iova + each.pages > iova);
    if (hit.some((each) => each.iova < iova || each.iova + each.pages > end)) return -EINVAL;
    return hit.reduce((sum, each) => sum + each.pages, 0);
  }

  /** 0, or -EBUSY: no group joins while a mapping has no address. */
  mayJoin(container: PlainContainer): number {
    return container.mappings.some((each) => each.vaddrInvalid) ? -EBUSY : 0;
  }

  start(container: PlainContainer, type: number): void {
    container.type = type;
    this.containers.add(container);
  }

  /** The last group left. */
  stop(container: PlainContainer): void {
    container.type = 0;
    container.mappings = [];
    container.tracking = false;
    this.containers.delete(container);
  }

  /** The mapping's pages go to the caller's account. */
  #updateVaddr(mapping: PlainMapping, process: PlainProcess, iova: number, pages: number): number {
    if (!mapping.vaddrInvalid || mapping.iova !== iova || mapping.pages !== pages) return -EINVAL;
    if (mapping.owner !== process && this.locked(process) + pages > MEMLOCK) return -ENOMEM;
    mapping.owner = process;
    mapping.vaddrInvalid = false;
    return 0;
  }
}

function lowest(mappings: readonly PlainMapping[]): PlainMapping | undefined {
  return mappings.reduce<PlainMapping | undefined>(
    (low, each) => (!low || each.iova < low.iova ? each : low),
    undefined,
  );
}
