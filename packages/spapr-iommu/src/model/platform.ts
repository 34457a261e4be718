// What a POWER platform decides about DMA windows: page sizes, table sizes, where a window starts and what may share it.
// Two exist: bare metal (powernv, IODA2) and a guest under a hypervisor (pseries). Source: struct iommu_table_group_ops.
import type { PeOptions } from "./pe.ts";
import type { TceTable } from "./table.ts";

export interface WindowRequest {
  readonly pageShift: number;
  /** Bytes. */
  readonly windowSize: bigint;
  readonly levels: number;
}

/** What a platform knows when it makes a table: the slot, and the windows that the group has already. */
export interface WindowPlace {
  readonly slot: number;
  readonly tables: readonly (TceTable | null)[];
}

export interface SpaprPlatform extends PeOptions {
  readonly name: "powernv" | "pseries";
  readonly pageSize: number;
  /** Start and bytes of the default ("32-bit") window. */
  readonly tce32Start: number;
  readonly tce32Size: number;
  /** log2 of the IOMMU page sizes. */
  readonly pageShifts: ReadonlySet<number>;
  readonly maxDynamicWindows: number;
  readonly maxLevels: number;
  /** Groups of this platform can be handed over as a whole; only told apart before 6.12. */
  readonly hasOwnershipOps: boolean;
  /** Can a second group of a container use the first one's table? */
  readonly sharesTables: boolean;
  /** The default window's table has one number for good: who still holds an old table reaches the new window. */
  readonly keepsDefaultTable: boolean;
  readonly eehEnabled: boolean;
  /** Bytes that a window is charged with; 0 for one that cannot be. */
  tableSize(request: WindowRequest): number;
  /** A new table, or -errno. Start and shape are the platform's choice. */
  createTable(request: WindowRequest, place: WindowPlace): TceTable | number;
  /** The table that the kernel itself uses for a group that VFIO does not own: without a user view. Or -errno. */
  kernelTable(): TceTable | number;
}

/** Shifts as the bitmap of GET_INFO. */
export function pageSizesBitmap(platform: SpaprPlatform): bigint {
  let bitmap = 0n;
  for (const shift of platform.pageShifts) bitmap |= 1n << BigInt(shift);
  return bitmap;
}

export function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && (value & (value - 1n)) === 0n;
}

/** log2 of a power of two. */
export function log2(value: bigint): number {
  return value.toString(2).length - 1;
}
