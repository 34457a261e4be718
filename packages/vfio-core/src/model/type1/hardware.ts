/**
 * What type1 knows of the IOMMU hardware in front of a group: address width, page sizes, snoop control, how interrupts
 * are isolated, and which IOVA ranges are not memory. Defaults are an Intel VT-d of a server (48 bits, 4 KiB to 1 GiB).
 *
 * IOVAs are counted in pages of 4 KiB throughout the back end: 52 bits, so plain numbers are exact for all 64-bit ranges.
 * Source: drivers/iommu/intel/iommu.c, include/linux/iommu.h (enum iommu_resv_type).
 */
import { VfioError } from "../../error.ts";

export const IOVA_PAGE_SHIFT = 12;
export const IOVA_PAGE_SIZE = 4096;
/** Pages of the whole 64-bit IOVA space. */
export const IOVA_PAGES = 2 ** 52;

export type ReservedType = "direct" | "direct-relaxable" | "reserved" | "msi" | "software-msi";

/** Bytes, whole 4 KiB pages, both ends included. "direct-relaxable" ranges may be mapped all the same. */
export interface ReservedRegion {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: ReservedType;
}

export interface IommuUnit {
  /** Bits of an IOVA. */
  readonly addressWidth: number;
  /** Bytes of each page size, powers of two. */
  readonly pageSizes: readonly number[];
  /** Can the unit turn no-snoop DMA into snooped DMA? */
  readonly snoopControl: boolean;
  /** Interrupt messages of a device cannot reach vectors of others (interrupt remapping). */
  readonly isolatedMsi: boolean;
  /** Two-stage translation for user space, as ARM SMMUs have it. */
  readonly nesting: boolean;
  /** The unit marks pages that devices wrote (VT-d in scalable mode). */
  readonly dirtyTracking: boolean;
  readonly reserved: readonly ReservedRegion[];
  /** The unit refuses to attach the group with this errno; 0 attaches. */
  readonly attachErrno: number;
}

/** Reserved ranges in IOVA pages, end excluded; those that may be mapped are left out. */
export interface ReservedPages {
  readonly start: number;
  readonly end: number;
}

export const MSI_WINDOW: ReservedRegion = { start: 0xfee00000n, end: 0xfeefffffn, type: "msi" };

export function reservedPages(unit: IommuUnit): ReservedPages[] {
  return unit.reserved
    .filter(({ type }) => type !== "direct-relaxable")
    .map(({ start, end }) => ({ start: Number(start >> 12n), end: Number(end >> 12n) + 1 }));
}

/** One bit for each page size. */
export function pageSizeMask(unit: IommuUnit): bigint {
  return unit.pageSizes.reduce((mask, size) => mask | BigInt(size), 0n);
}

/** Throws VfioError OPTION for hardware that cannot be. */
export function checkUnit(unit: IommuUnit): IommuUnit {
  const { addressWidth, pageSizes, reserved } = unit;
  if (!Number.isInteger(addressWidth) || addressWidth < 32 || addressWidth > 64) {
    throw option(
      `an IOMMU cannot have ${addressWidth} address bits`,
      "Usual widths are 39, 48 and 57; 32 to 64 are taken.",
    );
  }
  for (const size of pageSizes) {
    if (!(size >= IOVA_PAGE_SIZE && size <= 2 ** 48 && Number.isInteger(Math.log2(size)))) {
      throw option(`${size} is no page size of an IOMMU`, "Page sizes are powers of two from 4096 bytes on.");
    }
  }
  if (pageSizes.length === 0) throw option("an IOMMU needs a page size", "The usual ones are 4096, 2 MiB and 1 GiB.");
  for (const { start, end } of reserved) {
    if (start > end || start < 0n || end >= 1n << 64n || (start & 0xfffn) !== 0n || (end & 0xfffn) !== 0xfffn) {
      throw option(
        `the reserved region 0x${start.toString(16)} to 0x${end.toString(16)} is no range of whole pages`,
        "Give the first and the last byte; the range starts and ends at a multiple of 4096.",
      );
    }
  }
  return unit;
}

function option(message: string, hint: string): VfioError {
  return new VfioError(message, { code: "OPTION", hint });
}
