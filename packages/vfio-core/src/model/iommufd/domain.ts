/**
 * What a hardware page table is to devices (struct iommu_domain): translation through the table that all page tables of
 * an address space share, and, where the hardware can, marks on the pages that devices wrote through this one.
 *
 * Marks are per 4 KiB page: the model maps in pages of the smallest size when they are tracked.
 * Source: intel_iommu_set_dirty_tracking, intel_iommu_read_and_clear_dirty.
 */
import type { IommuDomain } from "@minivmm/pci";
import { VFIO_DMA_MAP_FLAG_WRITE } from "../../uapi.ts";
import type { DmaTable } from "../type1/dma-table.ts";
import { IOVA_PAGE_SIZE, type IommuUnit, pageSizeMask } from "../type1/hardware.ts";

const PAGES_4G = 0x10_0000;

export class HardwareDomain implements IommuDomain {
  readonly name = "iommufd";
  /** One bit for each page size. */
  readonly pageSizes: bigint;
  /** Last byte that the unit can address. */
  readonly last: bigint;
  /** No-snoop DMA is snooped all the same; units that cannot do that do not take the domain. */
  readonly enforcesSnoop: boolean;
  /** It was made for marking pages. */
  readonly marksPages: boolean;
  tracking = false;
  readonly #table: DmaTable;
  readonly #dirty = new Set<number>();

  constructor(table: DmaTable, unit: IommuUnit, marksPages: boolean) {
    this.#table = table;
    this.pageSizes = pageSizeMask(unit);
    this.last = (1n << BigInt(unit.addressWidth)) - 1n;
    this.enforcesSnoop = unit.snoopControl;
    this.marksPages = marksPages;
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    return this.#table.read(hi, lo, into);
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    const done = this.#table.write(hi, lo, from);
    if (this.tracking && from.length > 0) this.#mark(hi >>> 0, lo >>> 0, from.length);
    return done;
  }

  /** Calls `visit` with each marked page of [start, end), in no order. */
  eachDirty(start: number, end: number, clear: boolean, visit: (page: number) => void): void {
    if (!this.tracking) return;
    for (const page of this.#within(start, end)) {
      visit(page);
      if (clear) this.#dirty.delete(page);
    }
  }

  /** Mappings of [start, end) went, and their marks with them. */
  forget(start: number, end: number): void {
    if (this.#dirty.size === 0) return;
    for (const page of this.#within(start, end)) this.#dirty.delete(page);
  }

  setTracking(on: boolean): void {
    if (on) this.#dirty.clear();
    this.tracking = on;
  }

  /** Marked pages of [start, end): found among the pages or among the marks, whichever are fewer. */
  *#within(start: number, end: number): Generator<number> {
    if (end - start < this.#dirty.size) {
      for (let page = start; page < end; page++) if (this.#dirty.has(page)) yield page;
      return;
    }
    for (const page of this.#dirty) if (page >= start && page < end) yield page;
  }

  /** A transfer that is refused half-way has written what came before. */
  #mark(hi: number, lo: number, length: number): void {
    const first = hi * PAGES_4G + (lo >>> 12);
    const last = first + Math.floor(((lo & (IOVA_PAGE_SIZE - 1)) + length - 1) / IOVA_PAGE_SIZE);
    for (let page = first; page <= last; page++) {
      const mapped = this.#table.translate(
        Math.floor(page / PAGES_4G),
        (page % PAGES_4G) * IOVA_PAGE_SIZE,
        VFIO_DMA_MAP_FLAG_WRITE,
      );
      if (mapped < 0) return;
      this.#dirty.add(page);
    }
  }
}
