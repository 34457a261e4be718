// Arithmetic on 64-bit bus and guest addresses in two 32-bit halves, exact for every IOMMU page size. No allocation, and
// no powers or remainders of floating-point numbers, which cost more than all the rest of a hypercall.

const TWO_32 = 0x1_0000_0000;
const POWERS = Float64Array.from({ length: 64 }, (_, shift) => 2 ** shift);

/** An address in IOMMU pages; exact for every page size from 4 KiB up. */
export function pageNumber(hi: number, lo: number, shift: number): number {
  if (shift >= 32) return Math.floor(hi / (POWERS[shift - 32] as number));
  return hi === 0 ? lo >>> shift : hi * (POWERS[32 - shift] as number) + (lo >>> shift);
}

/** Is a 64-bit value in halves a multiple of 2^shift? */
export function isAligned(hi: number, lo: number, shift: number): boolean {
  if (shift < 32) return (lo & ((1 << shift) - 1)) === 0;
  return lo === 0 && hi % (POWERS[shift - 32] as number) === 0;
}

/** The part of an address below its IOMMU page number. */
export function offsetInPage(hi: number, lo: number, shift: number): number {
  if (shift < 32) return (lo & ((1 << shift) - 1)) >>> 0;
  return (hi % (POWERS[shift - 32] as number)) * TWO_32 + lo;
}

/** floor(value / 2^shift) of a whole number below 2^53. */
export function shiftRight(value: number, shift: number): number {
  return value < TWO_32 ? value >>> shift : Math.floor(value / (POWERS[shift] as number));
}
