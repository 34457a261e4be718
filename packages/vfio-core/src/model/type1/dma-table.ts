/**
 * The path of DMA through a type1 container: bus address -> mapping -> host physical memory, or a BAR of another device.
 *
 * All domains of a container hold the same mappings, so one table serves all its groups. A transfer is refused where
 * nothing is mapped or the direction is not allowed. Nothing is allocated while it stays inside one run.
 */
import type { PhysicalMemory } from "@minivmm/host/model";
import type { IommuDomain } from "@minivmm/pci";
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from "../../uapi.ts";
import { IOVA_PAGE_SIZE } from "./hardware.ts";
import type { PinnedRun } from "./mapping.ts";
import type { MappingSet } from "./mapping-set.ts";

const PAGES_4G = 0x10_0000;
const IN_PAGE = IOVA_PAGE_SIZE - 1;

/** Accesses to host physical addresses that are no memory: BARs of other devices. False: nobody answers. */
export interface PeerAccess {
  read(physical: number, into: Uint8Array): boolean;
  write(physical: number, from: Uint8Array): boolean;
}

export class DmaTable implements IommuDomain {
  readonly name = "type1";
  readonly #mappings: MappingSet;
  readonly #physical: PhysicalMemory;
  readonly #peers: PeerAccess | null;
  #last: PinnedRun | null = null;

  constructor(mappings: MappingSet, physical: PhysicalMemory, peers: PeerAccess | null) {
    this.#mappings = mappings;
    this.#physical = physical;
    this.#peers = peers;
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    return this.#transfer(hi >>> 0, lo >>> 0, into, VFIO_DMA_MAP_FLAG_READ);
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    return this.#transfer(hi >>> 0, lo >>> 0, from, VFIO_DMA_MAP_FLAG_WRITE);
  }

  /** Host physical address behind a bus address, or -1. `permission` is VFIO_DMA_MAP_FLAG_READ or _WRITE. */
  translate(hi: number, lo: number, permission: number): number {
    const page = (hi >>> 0) * PAGES_4G + (lo >>> 12);
    const run = this.#run(page);
    return run && (run.prot & permission) !== 0 ? physicalOf(run, page) + (lo & IN_PAGE) : -1;
  }

  /** Mappings have gone (IOTLB flush). */
  flush(): void {
    this.#last = null;
  }

  #transfer(hi: number, lo: number, bytes: Uint8Array, permission: number): boolean {
    let page = hi * PAGES_4G + (lo >>> 12);
    let inside = lo & IN_PAGE;
    for (let done = 0; done < bytes.length; inside = 0) {
      const run = this.#run(page);
      if (!run || (run.prot & permission) === 0) return false;
      const pages = run.repeats ? 1 : run.end - page;
      const length = Math.min(bytes.length - done, pages * IOVA_PAGE_SIZE - inside);
      const part = length === bytes.length ? bytes : bytes.subarray(done, done + length);
      if (!this.#move(physicalOf(run, page) + inside, part, permission, run)) return false;
      done += length;
      page += pages;
    }
    return true;
  }

  #move(physical: number, part: Uint8Array, permission: number, run: PinnedRun): boolean {
    if (run.buffer) {
      return permission === VFIO_DMA_MAP_FLAG_READ
        ? this.#physical.read(physical, part)
        : this.#physical.write(physical, part);
    }
    if (!this.#peers) return false;
    return permission === VFIO_DMA_MAP_FLAG_READ ? this.#peers.read(physical, part) : this.#peers.write(physical, part);
  }

  #run(page: number): PinnedRun | null {
    const last = this.#last;
    if (last && page >= last.start && page < last.end) return last;
    const runs = this.#mappings.overlap(page, page + 1)?.runs;
    if (!runs) return null;
    let low = 0;
    let high = runs.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((runs[middle] as PinnedRun).end > page) high = middle;
      else low = middle + 1;
    }
    this.#last = runs[low] ?? null;
    return this.#last;
  }
}

function physicalOf(run: PinnedRun, page: number): number {
  return run.repeats ? run.physical : run.physical + (page - run.start) * IOVA_PAGE_SIZE;
}
