/**
 * The page table behind an I/O address space (struct io_pagetable): areas, and the hardware page tables that show them.
 *
 * While there is a hardware page table every area is pinned and in the shared DMA table; without one nothing is pinned.
 * Areas go whole: unmapping part of one is ENOENT, after what came before it has gone. Only a space without large pages
 * can be cut, for VFIO's type1 version 1. Source: drivers/iommu/iommufd/io_pagetable.c.
 */
import { EINVAL, ENOENT, EOVERFLOW, EPERM } from "@minivmm/host";
import { KernelError, type PhysicalMemory } from "@minivmm/host/model";
import { VFIO_DMA_MAP_FLAG_WRITE } from "../../uapi.ts";
import { DmaTable } from "../type1/dma-table.ts";
import { IOVA_PAGE_SIZE } from "../type1/hardware.ts";
import { DmaMapping } from "../type1/mapping.ts";
import { MappingSet } from "../type1/mapping-set.ts";
import { Area, type Slice } from "./area.ts";
import type { HardwareDomain } from "./domain.ts";
import { IovaSpace } from "./iova-space.ts";
import { larger, smaller, U64_MAX } from "./ranges.ts";

export interface PageTableHost {
  /** Of the host, bytes. */
  readonly pageSize: number;
  readonly physical: PhysicalMemory;
}

export class IoPageTable {
  readonly space: IovaSpace;
  readonly dma: DmaTable;
  readonly #page: bigint;
  readonly #mappings = new MappingSet();
  readonly #domains: HardwareDomain[] = [];
  #largePages = true;

  constructor({ pageSize, physical }: PageTableHost) {
    this.#page = BigInt(pageSize);
    this.space = new IovaSpace(pageSize);
    // Device memory cannot be pinned, so no DMA ends in another device's BAR.
    this.dma = new DmaTable(this.#mappings, physical, null);
  }

  get domains(): readonly HardwareDomain[] {
    return this.#domains;
  }
  get largePages(): boolean {
    return this.#largePages;
  }

  /** Maps slices one behind the other, at `iova` or where there is room: the IOVA. Throws KernelError, then nothing is mapped. */
  map(slices: readonly Slice[], length: bigint, prot: number, iova: bigint | null): bigint {
    const { space } = this;
    if (length === 0n || length % space.alignment !== 0n) throw new KernelError(EINVAL, "the length is not aligned");
    if (iova !== null) space.check(iova, length);
    const start = iova ?? space.choose(slices[0] as Slice, length);
    const made: Area[] = [];
    try {
      let at = start;
      for (const slice of slices) {
        made.push(this.#insert(at, slice, prot));
        at += slice.length;
      }
      if (this.#domains.length > 0) for (const area of made) this.#fill(area);
    } catch (error) {
      for (const area of made) this.#remove(area);
      throw error;
    }
    return start;
  }

  /** What is mapped at [iova, iova + length) without a hole. Throws KernelError EINVAL, EOVERFLOW, ENOENT. */
  slices(iova: bigint, length: bigint): Slice[] {
    if (length === 0n) throw new KernelError(EINVAL);
    const last = iova + length - 1n;
    if (last > U64_MAX) throw new KernelError(EOVERFLOW);
    const found: Slice[] = [];
    let next = iova;
    for (const area of this.space.areas.overlapping(iova, last)) {
      if (area.first > next) break;
      const end = smaller(area.last, last);
      found.push(area.slice(next, end));
      next = end + 1n;
    }
    if (next <= last) throw new KernelError(ENOENT);
    return found;
  }

  /** Unmaps the areas inside [first, last]: bytes that went, and the errno that ended the walk, or 0. */
  unmap(first: bigint, last: bigint): { bytes: bigint; errno: number } {
    let bytes = 0n;
    for (const area of [...this.space.areas.overlapping(first, last)]) {
      if (area.first < first || area.last > last) return { bytes, errno: ENOENT };
      this.#remove(area);
      bytes += area.length;
    }
    return { bytes, errno: 0 };
  }

  /** Throws KernelError EINVAL, EADDRINUSE, or what pinning all areas ends with; then nothing changes. */
  addDomain(domain: HardwareDomain): void {
    const { space } = this;
    const smallest = domain.pageSizes & -domain.pageSizes;
    const alignment = larger(smallest, space.alignment);
    if (alignment > this.#page) throw new KernelError(EINVAL, "the IOMMU's pages are larger than the host's");
    if (alignment !== space.alignment) space.checkAlignment(alignment);
    try {
      if (domain.last < U64_MAX) space.reserve(domain.last + 1n, U64_MAX, domain);
      if (this.#domains.length === 0) this.#fillAll();
    } catch (error) {
      space.unreserve(domain);
      throw error;
    }
    space.alignment = alignment;
    this.#domains.push(domain);
  }

  removeDomain(domain: HardwareDomain): void {
    const at = this.#domains.indexOf(domain);
    if (at < 0) return;
    this.#domains.splice(at, 1);
    if (this.#domains.length === 0) for (const area of this.space.areas.all()) this.#unfill(area);
    this.space.unreserve(domain);
    this.space.alignment = this.#neededAlignment();
  }

  enableLargePages(): void {
    this.#largePages = true;
    this.space.alignment = this.#neededAlignment();
  }

  /** Throws KernelError EINVAL (hardware shows areas already), EADDRINUSE (an area is not made of whole pages). */
  disableLargePages(): void {
    if (!this.#largePages) return;
    if (this.#domains.length > 0 && this.space.areas.size > 0) throw new KernelError(EINVAL);
    this.space.checkAlignment(this.#page);
    this.#largePages = false;
    this.space.alignment = this.#neededAlignment();
  }

  /** Cuts the area at `iova`, if any, behind that byte. Throws KernelError EINVAL. */
  cut(iova: bigint): void {
    const area = this.space.areas.overlap(iova, iova);
    if (!area || iova === area.first || iova === area.last) return;
    const unaligned = (iova + 1n) | (area.startByte + (iova + 1n - area.first));
    if (unaligned % this.space.alignment !== 0n) throw new KernelError(EINVAL);
    const parts = [
      new Area(area.first, area.slice(area.first, iova), area.prot),
      new Area(iova + 1n, area.slice(iova + 1n, area.last), area.prot),
    ];
    this.space.areas.remove(area);
    for (const part of parts) this.space.areas.add(part);
    if (!area.mapping) return;
    area.pages.replace(
      area.span,
      parts.map(({ span }) => span),
    );
    this.#hide(area);
    for (const part of parts) this.#show(part);
  }

  #insert(at: bigint, slice: Slice, prot: number): Area {
    if ((prot & VFIO_DMA_MAP_FLAG_WRITE) !== 0 && !slice.pages.writable) throw new KernelError(EPERM);
    const area = new Area(at, slice, prot);
    if (area.pageOffset % this.space.alignment !== 0n) throw new KernelError(EINVAL, "the memory is not aligned");
    this.space.areas.add(area);
    return area;
  }

  #remove(area: Area): void {
    this.#unfill(area);
    this.space.areas.remove(area);
  }

  #fillAll(): void {
    const areas = this.space.areas.all();
    try {
      for (const area of areas) this.#fill(area);
    } catch (error) {
      for (const area of areas) this.#unfill(area);
      throw error;
    }
  }

  /** Pins an area and shows it to the hardware. */
  #fill(area: Area): void {
    const result = area.pages.pin(area.span);
    if (result < 0) throw new KernelError(-result);
    // Pieces of a copy can lie at addresses that are no multiple of a page; the hardware cannot show those.
    if ((area.first | area.length) % BigInt(IOVA_PAGE_SIZE) !== 0n) {
      area.pages.unpin(area.span);
      throw new KernelError(EINVAL);
    }
    this.#show(area);
  }

  #unfill(area: Area): void {
    if (!area.mapping) return;
    for (const domain of this.#domains) domain.forget(area.mapping.start, area.mapping.end);
    this.#hide(area);
    area.pages.unpin(area.span);
  }

  #show(area: Area): void {
    const start = Number(area.first >> 12n);
    const end = start + Number(area.length >> 12n);
    const mapping = new DmaMapping(start, end, area.prot, 0, area.pages.mm);
    mapping.runs = area.pages.runs(area.startByte, area.length, start, area.prot);
    this.#mappings.add(mapping);
    area.mapping = mapping;
  }

  #hide(area: Area): void {
    if (!area.mapping) return;
    this.#mappings.remove(area.mapping);
    this.dma.flush();
    area.mapping = null;
  }

  #neededAlignment(): bigint {
    const least = this.#largePages ? 1n : this.#page;
    return this.#domains.reduce((most, { pageSizes }) => larger(most, pageSizes & -pageSizes), least);
  }
}
