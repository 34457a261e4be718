/**
 * Pinning: finds the memory behind a mapping, keeps it alive, and charges its pages to the owner's RLIMIT_MEMLOCK.
 *
 * Pages are looked at in order, so the first that is not there (EFAULT) or over the limit (ENOMEM) decides; nothing is
 * left behind then. Device memory is not counted. A page mapped twice is counted twice.
 * Up to 6.1, memory that was never written and is mapped for reading is the zero page: not counted, and blind to later
 * writes. The model has no page tables; it takes a private page that holds only zeros for one that was never written.
 * Source: vfio_pin_pages_remote, vaddr_get_pfns, vfio_lock_acct.
 */
import { EFAULT, EINVAL } from "@minivmm/host";
import type { AddressSpace, Area, DeviceMemory, PhysicalMemory } from "@minivmm/host/model";
import { VFIO_DMA_MAP_FLAG_WRITE } from "../../uapi.ts";
import { IOVA_PAGE_SIZE } from "./hardware.ts";
import type { DmaMapping, PinnedRun } from "./mapping.ts";

type Run = { -readonly [K in keyof PinnedRun]: PinnedRun[K] };

/** Device memory that can be out of reach for a time; pinning it then fails. */
interface Accessible {
  accessible(): boolean;
}

export class Pinner {
  readonly #physical: PhysicalMemory;
  #spareRun: Run | null = null;
  #spareRuns: PinnedRun[] | null = null;
  readonly #zero: { buffer: ArrayBuffer; physical: number } | null;

  /** `zeroPages`: untouched memory mapped for reading is the zero page. */
  constructor(physical: PhysicalMemory, pageSize: number, zeroPages: boolean) {
    this.#physical = physical;
    const buffer = new ArrayBuffer(pageSize);
    this.#zero = zeroPages ? { buffer, physical: physical.adopt(buffer) } : null;
  }

  /** Pins all of a mapping: 0, -EFAULT, -ENOMEM; -EINVAL for memory that is not aligned to `unit`, the IOMMU's page. */
  pin(mapping: DmaMapping, unit: number): number {
    const { mm, end, prot } = mapping;
    const write = (prot & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
    mapping.runs = this.#spareRuns ?? [];
    this.#spareRuns = null;
    for (let start = mapping.start, vaddr = mapping.vaddr; start < end; ) {
      const physical = mm.virtToPhys(vaddr, write);
      const area = mm.areaAt(vaddr);
      if (physical < 0 || !area || !reachable(area.backing.device)) return this.#fail(mapping, -EFAULT);
      if (physical % unit !== 0) return this.#fail(mapping, -EINVAL);
      const pages = Math.min((area.end - vaddr) / IOVA_PAGE_SIZE, end - start);
      const run = this.#run(start, start + pages, prot, physical, area.backing.buffer);
      const result =
        this.#zero && !write && mayBeUntouched(area, mm) ? this.#pinSeen(mapping, run) : this.#add(mapping, run);
      if (result < 0) return this.#fail(mapping, result);
      start += pages;
      vaddr += pages * IOVA_PAGE_SIZE;
    }
    return 0;
  }

  /** Lets go of the memory and gives the accounting back. */
  unpin(mapping: DmaMapping): void {
    const { runs } = mapping;
    mapping.runs = null;
    if (mapping.locked > 0) mapping.mm.account(-mapping.locked);
    mapping.locked = 0;
    if (!runs) return;
    for (let i = 0; i < runs.length; i++) {
      const { buffer } = runs[i] as PinnedRun;
      if (buffer) this.#physical.release(buffer);
    }
    this.#keep(runs);
  }

  /** The mapping's pages become `mm`'s to pay for: 0 or -ENOMEM. */
  changeOwner(mapping: DmaMapping, mm: AddressSpace): number {
    if (mm === mapping.mm) return 0;
    const result = mm.account(mapping.locked);
    if (result < 0) return result;
    mapping.mm.account(-mapping.locked);
    mapping.mm = mm;
    return 0;
  }

  /** A list and one run of a mapping that is gone serve the next one: mapping page by page leaves no garbage. */
  #keep(runs: PinnedRun[]): void {
    const run = runs.length === 1 ? (runs[0] as Run) : null;
    if (!run) return;
    run.buffer = null;
    runs.length = 0;
    this.#spareRun = run;
    this.#spareRuns = runs;
  }

  #run(start: number, end: number, prot: number, physical: number, buffer: ArrayBufferLike | null): PinnedRun {
    const run = this.#spareRun;
    if (!run) return { start, end, prot, physical, repeats: false, buffer };
    this.#spareRun = null;
    run.start = start;
    run.end = end;
    run.prot = prot;
    run.physical = physical;
    run.repeats = false;
    run.buffer = buffer;
    return run;
  }

  #add(mapping: DmaMapping, run: PinnedRun): number {
    if (run.buffer && !run.repeats) {
      const pages = ((run.end - run.start) * IOVA_PAGE_SIZE) / mapping.mm.pageSize;
      const result = mapping.mm.account(pages);
      if (result < 0) return result;
      mapping.locked += pages;
    }
    if (run.buffer) this.#physical.adopt(run.buffer);
    mapping.runs?.push(run);
    return 0;
  }

  /** Splits a run where untouched pages begin and end. */
  #pinSeen(mapping: DmaMapping, run: PinnedRun): number {
    const zero = this.#zero;
    if (!zero) return 0;
    const step = mapping.mm.pageSize / IOVA_PAGE_SIZE;
    for (let start = run.start; start < run.end; ) {
      const untouched = this.#isZero(run, start, mapping.mm.pageSize);
      let end = start + step;
      while (end < run.end && this.#isZero(run, end, mapping.mm.pageSize) === untouched) end += step;
      const physical = run.physical + (start - run.start) * IOVA_PAGE_SIZE;
      const part = untouched
        ? { ...run, start, end, physical: zero.physical, repeats: true, buffer: zero.buffer }
        : { ...run, start, end, physical };
      const result = this.#add(mapping, part);
      if (result < 0) return result;
      start = end;
    }
    return 0;
  }

  #isZero(run: PinnedRun, page: number, size: number): boolean {
    const bytes = this.#physical.resolve(run.physical + (page - run.start) * IOVA_PAGE_SIZE, size);
    return bytes?.every((byte) => byte === 0) ?? false;
  }

  #fail(mapping: DmaMapping, result: number): number {
    this.unpin(mapping);
    return result;
  }
}

function reachable(device: DeviceMemory | null): boolean {
  return device === null || !("accessible" in device) || (device as DeviceMemory & Accessible).accessible();
}

/** Private memory of base pages: a read fault of an untouched page finds the zero page. */
function mayBeUntouched({ backing, pageSize }: Area, mm: AddressSpace): boolean {
  return backing.buffer !== null && !backing.shared && backing.file === null && pageSize === mm.pageSize;
}
