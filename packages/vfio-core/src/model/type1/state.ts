/**
 * What one container keeps for type1 (struct vfio_iommu), and the two things everybody does with it: take a mapping away
 * and find the smallest IOMMU page.
 *
 * Invariants: dmaAvail + mappings.size is what the container started with; vaddrInvalid counts mappings whose address was
 * given up; mappings have `runs` exactly while a domain exists.
 */
import type { AddressSpace, PhysicalMemory } from "@minivmm/host/model";
import { DmaTable, type PeerAccess } from "./dma-table.ts";
import { DmaMapping } from "./mapping.ts";
import { MappingSet } from "./mapping-set.ts";
import type { Pinner } from "./pin.ts";
import { IovaWindows } from "./windows.ts";

export interface StateOptions {
  readonly v2: boolean;
  readonly nesting: boolean;
  /** Mappings that the container may have. */
  readonly dmaEntryLimit: number;
  /** Host page size, bytes. */
  readonly pageSize: number;
  readonly pinner: Pinner;
  readonly physical: PhysicalMemory;
  readonly peers: PeerAccess | null;
}

export class Type1State {
  readonly v2: boolean;
  readonly nesting: boolean;
  readonly pageSize: number;
  readonly pinner: Pinner;
  readonly mappings = new MappingSet();
  readonly table: DmaTable;
  windows = new IovaWindows();
  dmaAvail: number;
  vaddrInvalid = 0;
  dirtyTracking = false;
  /** Attached groups behind an IOMMU; each of them may write memory unseen. */
  iommuGroups = 0;
  /** Attached mediated groups. */
  emulatedGroups = 0;
  #spare: DmaMapping | null = null;
  #pgsizes: bigint;
  #pgsize: number;

  constructor({ v2, nesting, dmaEntryLimit, pageSize, pinner, physical, peers }: StateOptions) {
    this.v2 = v2;
    this.nesting = nesting;
    this.pageSize = pageSize;
    this.pinner = pinner;
    this.dmaAvail = dmaEntryLimit;
    this.table = new DmaTable(this.mappings, physical, peers);
    this.#pgsizes = BigInt.asUintN(64, -BigInt(pageSize));
    this.#pgsize = pageSize;
  }

  /** One bit for each IOMMU page size. */
  get pgsizes(): bigint {
    return this.#pgsizes;
  }

  /** Bytes of the smallest one. */
  get pgsize(): number {
    return this.#pgsize;
  }

  /** What all domains can do. Sizes below the host's pages are shown as the host's page. */
  setPageSizes(domains: readonly bigint[]): void {
    const host = BigInt(this.pageSize);
    const all = domains.reduce((common, sizes) => common & sizes, (1n << 64n) - 1n);
    const small = all & (host - 1n);
    this.#pgsizes = small === 0n ? all : (all ^ small) | host;
    // IOMMUs without a common size cannot share a container for anything; the host's page keeps the arithmetic sane.
    this.#pgsize = Number(this.#pgsizes & -this.#pgsizes) || this.pageSize;
  }

  /** A mapping that is nowhere yet: the one that was taken away last, so that mapping page by page leaves no garbage. */
  newMapping(start: number, end: number, prot: number, vaddr: number, mm: AddressSpace): DmaMapping {
    const spare = this.#spare;
    this.#spare = null;
    return spare?.become(start, end, prot, vaddr, mm) ?? new DmaMapping(start, end, prot, vaddr, mm);
  }

  remove(mapping: DmaMapping): void {
    if (mapping.vaddrInvalid) this.vaddrInvalid--;
    this.mappings.remove(mapping);
    this.pinner.unpin(mapping);
    this.table.flush();
    this.dmaAvail++;
    this.#spare = mapping;
  }

  removeAll(): void {
    for (const mapping of this.mappings.all()) this.remove(mapping);
  }
}
