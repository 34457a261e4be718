// Arithmetic on 64-bit bus and guest addresses in two 32-bit halves, exact for every IOMMU page size. No allocation.

const TWO_32 = 0x1_0000_0000;

/** An address in IOMMU pages; exact for every page size from 4 KiB up. */
export function pageNumber(hi: number, lo: number, shift: number): number {
  return shift < 32 ? hi * 2 ** (32 - shift) + (lo >>> shift) : Math.floor(hi / 2 ** (shift - 32));
}

/** Is a 64-bit value in halves a multiple of 2^shift? */
export function isAligned(hi: number, lo: number, shift: number): boolean {
  if (shift >= 32) return lo === 0 && hi % 2 ** (shift - 32) === 0;
  return (lo & (2 ** shift - 1)) === 0;
}

/** The part of an address below its IOMMU page number. */
export function offsetInPage(hi: number, lo: number, shift: number): number {
  return shift <= 32 ? lo % 2 ** shift : (hi % 2 ** (shift - 32)) * TWO_32 + lo;
}
