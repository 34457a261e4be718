// Bare metal: IODA2 windows. Tables lie in host memory in 1 to 5 levels, each with a user view of the same size.
// Source: arch/powerpc/platforms/powernv/pci-ioda.c, pci-ioda-tce.c.
// Invariant: tableSize is what createTable's table gives back when freed (`allocatedBytes`).
import { EINVAL, ENOMEM } from "@minivmm/host";
import { TceArena } from "./arena/index.ts";
import { isPowerOfTwo, log2, type SpaprPlatform, type WindowPlace, type WindowRequest } from "./platform.ts";
import { TceTable } from "./table.ts";

export interface PowernvOptions {
  pageSize: number;
  /** Bytes of the default window: where the PHB's 32-bit MMIO space begins. Default 2 GiB. */
  tce32Size?: number;
  /** log2 of page sizes. Default 4 KiB, 64 KiB, 2 MiB, 1 GiB (POWER9). */
  pageShifts?: Iterable<number>;
  /** Default true. */
  eeh?: boolean;
  /** Does a bad DMA isolate the PE? Default true; the PHB of QEMU 7.2 does not. */
  freeze?: boolean;
  /** Are user views charged with the table? Default true (6.12, 6.1). */
  chargeUserView?: boolean;
  /** Where tables lie. Default: memory of their own. */
  arena?: TceArena;
}

const MAX_LEVELS = 5;
/** Where window 1 begins: the bypass address space of the PE. */
const SECOND_WINDOW = 1n << 59n;
/** The kernel's own window: all memory of the machine, for which 4 GiB are taken here, in base pages. */
const KERNEL_WINDOW = 2 ** 32;
/** The page allocator's largest block. */
const LARGEST_ALLOCATION_SHIFT = 24;

export function powernv(options: PowernvOptions): SpaprPlatform {
  const { pageSize, chargeUserView = true, arena = new TceArena(Math.log2(options.pageSize)) } = options;
  const copies = chargeUserView ? 2 : 1;

  function createTable(request: WindowRequest, place: WindowPlace): TceTable | number {
    const { pageShift, windowSize, levels } = request;
    const entriesShift = log2(windowSize) - pageShift;
    const levelShift = Math.max(Math.ceil(entriesShift / levels) + 3, Math.log2(pageSize));
    if ((levelShift - 3) * levels + pageShift >= 55) return -EINVAL;
    if (levelShift > LARGEST_ALLOCATION_SHIFT) return -ENOMEM;
    const shape = {
      start: place.slot === 0 ? 0n : SECOND_WINDOW,
      pageShift,
      entries: 2 ** entriesShift,
      levels,
      allocatedBytes: powernvTableSize(request, pageSize) * copies,
      writeImpliesRead: true,
      userView: chargeUserView,
    };
    return TceTable.create(shape, arena);
  }

  return {
    name: "powernv",
    pageSize,
    tce32Start: 0,
    tce32Size: options.tce32Size ?? 0x8000_0000,
    pageShifts: new Set(options.pageShifts ?? [12, 16, 21, 30]),
    maxDynamicWindows: 2,
    maxLevels: MAX_LEVELS,
    hasOwnershipOps: true,
    sharesTables: true,
    keepsDefaultTable: false,
    eehEnabled: options.eeh ?? true,
    freeze: options.freeze ?? true,
    tableSize: (request) => powernvTableSize(request, pageSize) * copies,
    createTable,
    kernelTable: () => {
      const pageShift = Math.log2(pageSize);
      const entries = KERNEL_WINDOW / pageSize;
      const shape = {
        start: 0n,
        pageShift,
        entries,
        levels: 1,
        allocatedBytes: 0,
        writeImpliesRead: true,
        userView: false,
      };
      return TceTable.create(shape, arena);
    },
  };
}

/** pnv_pci_ioda2_get_table_size: bytes of one copy of the table when every level is full; 0 for an impossible window. */
export function powernvTableSize(request: WindowRequest, pageSize: number): number {
  const { pageShift, windowSize, levels } = request;
  if (levels < 1 || levels > MAX_LEVELS || !isPowerOfTwo(windowSize)) return 0;
  const entriesShift = log2(windowSize) - pageShift;
  if (entriesShift < 0) return 0;
  const direct = Math.max(2 ** (Math.ceil(entriesShift / levels) + 3), pageSize);
  let table = Math.max(4096, 8 * 2 ** entriesShift);
  let bytes = 0;
  for (let level = 0; level < levels; level++) {
    bytes += Math.ceil(table / direct) * direct;
    table = Math.max((table / direct) * 8, direct);
  }
  return bytes;
}
