/**
 * One DMA mapping (struct vfio_dma): an IOVA range, the user memory behind it, and who pays for its pinned pages.
 * IOVAs are in pages of 4 KiB. A mapping is never split; `runs` is null while no IOMMU has it (mediated devices only).
 */
import type { AddressSpace } from "@minivmm/host/model";
import type { DirtyBits } from "./dirty-bits.ts";

/** A stretch of a mapping that is contiguous in host physical memory. */
export interface PinnedRun {
  /** First IOVA page, and the first one behind. */
  readonly start: number;
  readonly end: number;
  /** VFIO_DMA_MAP_FLAG_READ and _WRITE. */
  readonly prot: number;
  /** Host physical address of the first byte. */
  readonly physical: number;
  /** Every page shows this one physical page (the zero page). */
  readonly repeats: boolean;
  /** The memory that stays alive while it is pinned; null for a device's. */
  readonly buffer: ArrayBufferLike | null;
}

export class DmaMapping {
  start: number;
  end: number;
  prot: number;
  /** User address of the first byte; any number, if pages are not pinned. */
  vaddr: number;
  /** The user gave the address up and will name another one. */
  vaddrInvalid = false;
  /** Whose memory it is, and whose locked pages are counted. */
  mm: AddressSpace;
  runs: PinnedRun[] | null = null;
  /** Pages charged to `mm`. */
  locked = 0;
  dirty: DirtyBits | null = null;

  constructor(start: number, end: number, prot: number, vaddr: number, mm: AddressSpace) {
    this.start = start;
    this.end = end;
    this.prot = prot;
    this.vaddr = vaddr;
    this.mm = mm;
  }

  /** A mapping that was taken away becomes another one. */
  become(start: number, end: number, prot: number, vaddr: number, mm: AddressSpace): this {
    this.start = start;
    this.end = end;
    this.prot = prot;
    this.vaddr = vaddr;
    this.vaddrInvalid = false;
    this.mm = mm;
    this.dirty = null;
    return this;
  }
}
