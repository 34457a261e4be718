// A guest under a hypervisor: windows come from firmware calls (ibm,create-pe-dma-window). The default window exists
// once, at 0, with 4 KiB pages; a request for slot 0 that fits into it gets it, anything else becomes the one dynamic
// window.
// Source: arch/powerpc/platforms/pseries/iommu.c (6.10 and later), and what a 6.12 guest of QEMU 7.2 answered.
// The size calculation checks nothing: impossible windows are charged, then refused, and the charge stays.
import { EINVAL, ENOSPC, EPERM } from "@minivmm/host";
import { TceArena } from "./arena/index.ts";
import { isPowerOfTwo, log2, type SpaprPlatform, type WindowPlace, type WindowRequest } from "./platform.ts";
import { TceTable } from "./table.ts";

export interface PseriesOptions {
  pageSize: number;
  /** Bytes of the default window, from ibm,dma-window. Default 1 GiB. */
  tce32Size?: number;
  /** log2 of page sizes. Default 4 KiB, 64 KiB, 2 MiB, 16 MiB. */
  pageShifts?: Iterable<number>;
  /** Largest dynamic window in entries (ibm,query-pe-dma-window). Default 2^37. */
  largestWindow?: number;
  /** Default false: the hypervisor offers no EEH for these devices. */
  eeh?: boolean;
  /** Default false. */
  freeze?: boolean;
  /** Where tables lie. Default: memory of their own. */
  arena?: TceArena;
}

const DEFAULT_SHIFT = 12;
const DYNAMIC_WINDOW = 1n << 59n;
/** What the size calculation answers for more than one level. */
const IMPOSSIBLE_SIZE = 0xffff_ffff;

export function pseries(options: PseriesOptions): SpaprPlatform {
  const { pageSize, arena = new TceArena(Math.log2(options.pageSize)) } = options;
  const tce32Size = options.tce32Size ?? 0x4000_0000;
  const largest = options.largestWindow ?? 2 ** 37;

  function tableSize(request: WindowRequest): number {
    if (request.levels > 1) return IMPOSSIBLE_SIZE;
    return Number(request.windowSize >> BigInt(request.pageShift - 3));
  }

  function createTable(request: WindowRequest, place: WindowPlace): TceTable | number {
    const { pageShift, windowSize, levels } = request;
    if (levels > 1 || !isPowerOfTwo(windowSize) || windowSize >> BigInt(pageShift) === 0n) return -EINVAL;
    // Bringing the default window back resets the endpoint's windows, which would destroy a dynamic one.
    if (place.slot === 0 && place.tables.some((table) => table !== null)) return -EPERM;
    const entries = 2 ** (log2(windowSize) - pageShift);
    const fits = place.slot === 0 && pageShift === DEFAULT_SHIFT && windowSize <= BigInt(tce32Size);
    if (!fits) {
      if (entries > largest) return -EINVAL;
      if (place.tables.some((table) => table?.start === DYNAMIC_WINDOW)) return -ENOSPC;
    }
    const start = fits ? 0n : DYNAMIC_WINDOW;
    const shape = { start, pageShift, entries, levels: 1, allocatedBytes: tableSize(request), writeImpliesRead: false };
    return TceTable.create(shape, arena);
  }

  return {
    name: "pseries",
    pageSize,
    tce32Start: 0,
    tce32Size,
    pageShifts: new Set(options.pageShifts ?? [12, 16, 21, 24]),
    maxDynamicWindows: 2,
    maxLevels: 1,
    hasOwnershipOps: false,
    sharesTables: false,
    keepsDefaultTable: true,
    eehEnabled: options.eeh ?? false,
    freeze: options.freeze ?? false,
    tableSize,
    createTable,
    kernelTable: () => {
      const entries = tce32Size / 2 ** DEFAULT_SHIFT;
      const shape = { start: 0n, pageShift: DEFAULT_SHIFT, entries, levels: 1, allocatedBytes: 0 };
      return TceTable.create({ ...shape, writeImpliesRead: false, userView: false }, arena);
    },
  };
}
