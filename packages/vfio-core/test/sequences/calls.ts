// The calls of a sequence, as two parties answer them: the modelled kernel, and a plain reference that knows only rules.
// Both number processes from 0 and answer a call with a number >= 0 or -errno; sequences compare the two.
// Guest memory is PAGES pages of data at one address in every process, behind them pages nobody may touch.

export const PAGE = 4096;
/** Pages of data in each process. */
export const PAGES = 16;
/** RLIMIT_MEMLOCK of each process, in pages. */
export const MEMLOCK = 24;
/** RLIMIT_NOFILE. */
export const NOFILE = 24;
/** Mappings that a container may have. */
export const ENTRIES = 6;
/** The IOVA page that the IOMMU reserves. */
export const RESERVED_PAGE = 20;

export type Kernel = "6.12" | "6.1" | "4.12";

export interface MapCall {
  /** IOVA and user address in pages; the address counts from the first page of data. */
  readonly iova: number;
  readonly vaddr: number;
  readonly pages: number;
  /** VFIO_DMA_MAP_FLAG_*. */
  readonly flags: number;
}

export interface UnmapCall {
  readonly iova: number;
  readonly pages: number;
  /** VFIO_DMA_UNMAP_FLAG_*; the dirty bitmap, if asked for, goes to the first page of data. */
  readonly flags: number;
}

export interface IrqCall {
  readonly index: number;
  /** VFIO_IRQ_SET_*. */
  readonly flags: number;
  readonly start: number;
  readonly count: number;
  /** For DATA_EVENTFD: descriptors; for DATA_BOOL: 0 or 1. As many as `count` at least. */
  readonly data: readonly number[];
}

/** Indexes of a device's BARs that sequences map. */
export interface MmapCall {
  readonly bar: number;
  readonly page: number;
  readonly pages: number;
  readonly shared: boolean;
}

/** `p` is a process, `fd` a descriptor of it that may be anything. */
export interface Calls {
  openContainer(p: number): number;
  openGroup(p: number, bdf: string): number;
  eventfd(p: number): number;
  dup(p: number, fd: number): number;
  close(p: number, fd: number): number;
  /** The child's number. */
  fork(p: number): number;
  exit(p: number): number;

  checkExtension(p: number, fd: number, extension: number): number;
  setIommu(p: number, fd: number, type: number): number;
  /** VFIO_GROUP_FLAGS_*, or -errno. */
  status(p: number, fd: number): number;
  setContainer(p: number, fd: number, container: number): number;
  unsetContainer(p: number, fd: number): number;
  deviceFd(p: number, fd: number, name: string): number;

  map(p: number, fd: number, call: MapCall): number;
  /** Pages that went. */
  unmap(p: number, fd: number, call: UnmapCall): number;
  /** VFIO_IOMMU_DIRTY_PAGES_FLAG_START or _STOP. */
  dirty(p: number, fd: number, flags: number): number;
  /**
   * GET_BITMAP of an IOVA range: how many of the mapped pages are dirty. Others may be too: the kernel's bitmaps keep
   * bits of earlier reports with another base (test/type1-dirty.test.ts).
   */
  bitmap(p: number, fd: number, iova: number, pages: number, mapped: readonly number[]): number;

  setIrqs(p: number, fd: number, call: IrqCall): number;
  /** An ioeventfd on a harmless register of BAR 0. */
  ioeventfd(p: number, fd: number, data: number, event: number): number;
  /** Adds to an eventfd. */
  signal(p: number, fd: number, count: number): number;
  reset(p: number, fd: number): number;
  mmap(p: number, fd: number, call: MmapCall): number;
  /** Takes `pages` pages at `page` out of the process's mapping `id`; ids count successful mmaps, children have their parents'. */
  munmap(p: number, id: number, page: number, pages: number): number;

  bind(bdf: string, driver: string): number;
  unbind(bdf: string): number;
  /** Time passes: drivers that wait for their device ask again. */
  tenSeconds(): number;
  /** An in-kernel user takes the group behind a descriptor, and gives back the `n`th it has. Before 5.18 only. */
  externalGet(p: number, fd: number): number;
  externalPut(n: number): number;
}
