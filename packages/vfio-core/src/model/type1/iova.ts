/**
 * 64-bit fields of DMA structs as numbers, without BigInt: aligned ones as a count of 4 KiB pages (below 2^52, exact),
 * user addresses as bytes. The caller has checked the alignment.
 */
import { IOVA_PAGE_SIZE } from "./hardware.ts";

const TWO_32 = 0x1_0000_0000;
const PAGES_4G = 0x10_0000;

/** Is the field a multiple of `unit`, a power of two of at most 2^48? */
export function isAligned(view: DataView, at: number, unit: number): boolean {
  const lo = view.getUint32(at, true);
  if (unit <= TWO_32) return lo % unit === 0;
  return lo === 0 && view.getUint32(at + 4, true) % (unit / TWO_32) === 0;
}

/** The field in pages of 4 KiB. */
export function pagesAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * PAGES_4G + (view.getUint32(at, true) >>> 12);
}

export function isZero(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === 0 && view.getUint32(at + 4, true) === 0;
}

/** The field in bytes; exact below 2^53, which covers every user address that can be mapped. */
export function bytesAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
}

/** Stores `pages` of 4 KiB as bytes. */
export function setPages(view: DataView, at: number, pages: number): void {
  view.setUint32(at, (pages % PAGES_4G) * IOVA_PAGE_SIZE, true);
  view.setUint32(at + 4, Math.floor(pages / PAGES_4G), true);
}
