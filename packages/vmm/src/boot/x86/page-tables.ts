// The address space that a kernel's 64-bit entry point expects: the first 4 GiB mapped to themselves, and flat segments.
// Source: Linux Documentation/arch/x86/boot.rst ("64-bit BOOT PROTOCOL"); Intel 64 SDM volume 3, 4.5 and 3.4.5.
// Invariant: tables hold no more than what is asked for; the rest of their pages is zero, that is, not present.

const PRESENT = 1;
const WRITABLE = 2;
/** In a page directory: the entry maps 2 MiB itself. */
const LARGE = 0x80;
const PAGE = 4096;
const LARGE_PAGE = 0x20_0000;
const ENTRIES = 512;
const GIB = 4;

/** PML4, one page directory pointer table, a page directory for each GiB. */
export const IDENTITY_MAP_SIZE = (2 + GIB) * PAGE;

/** Selectors that the boot protocol names: __BOOT_CS and __BOOT_DS. */
export const BOOT_CODE_SELECTOR = 0x10;
export const BOOT_DATA_SELECTOR = 0x18;
export const GDT_SIZE = 4 * 8;

/** Tables that map the first 4 GiB to themselves, for a page-aligned place below 4 GiB; CR3 is that place. */
export function identityMap(address: number): Uint8Array {
  const bytes = new Uint8Array(IDENTITY_MAP_SIZE);
  const view = new DataView(bytes.buffer);
  const table = (index: number): number => address + index * PAGE + (PRESENT | WRITABLE);
  view.setUint32(0, table(1), true);
  for (let gib = 0; gib < GIB; gib++) {
    view.setUint32(PAGE + gib * 8, table(2 + gib), true);
    for (let index = 0; index < ENTRIES; index++) {
      const page = (gib * ENTRIES + index) * LARGE_PAGE;
      view.setUint32((2 + gib) * PAGE + index * 8, page + (PRESENT | WRITABLE | LARGE), true);
    }
  }
  return bytes;
}

/** A descriptor table with a 64-bit code segment at 0x10 and a flat data segment at 0x18. */
export function bootGdt(): Uint8Array {
  const bytes = new Uint8Array(GDT_SIZE);
  const view = new DataView(bytes.buffer);
  // Base 0, limit 4 GiB in pages, present, ring 0. Code: execute and read, accessed, L. Data: read and write, accessed, B.
  view.setBigUint64(BOOT_CODE_SELECTOR, 0x00af_9b00_0000_ffffn, true);
  view.setBigUint64(BOOT_DATA_SELECTOR, 0x00cf_9300_0000_ffffn, true);
  return bytes;
}
