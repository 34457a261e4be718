// Which user pages can be pinned for DMA (pin_user_pages with FOLL_WRITE): writable memory. A mapped BAR has physical
// addresses too, but no pages behind them. Source: mm/gup.c (VM_IO and VM_PFNMAP areas are refused).
import type { AddressSpace } from "@minivmm/host/model";

/** Host physical address of a page that can be pinned for writing, or -1. */
export function pinForWrite(mm: AddressSpace, address: number): number {
  const physical = mm.virtToPhys(address, true);
  return physical >= 0 && mm.areaAt(address)?.backing.buffer ? physical : -1;
}

/** Bytes of the page (base or huge) that backs an address; 0 in a hole. */
export function backingSize(mm: AddressSpace, address: number): number {
  return mm.areaAt(address)?.pageSize ?? 0;
}
