// One area of an address space (vm_area_struct): a page-aligned range with one protection and one backing, which is
// either bytes of a buffer or a device's memory. Invariant: an area that maps a file holds a reference on it.

import type { AccessWidth } from "../host.ts";
import type { Reference } from "./reference.ts";

/**
 * Memory that answers accesses instead of storing them, such as a BAR. Offsets count from the mapping's start.
 * Where the hardware's owner would get SIGBUS (memory space disabled), load and store throw KernelError EFAULT.
 */
export interface DeviceMemory {
  load(offset: number, width: AccessWidth): number;
  store(offset: number, width: AccessWidth, value: number): void;
  /** Host physical address of the first byte, for users that map the range on (KVM slots, IOMMU mappings). */
  readonly physical?: number;
}

export interface Backing {
  /** The memory, or null for device memory. */
  readonly buffer: ArrayBufferLike | null;
  readonly device: DeviceMemory | null;
  /** Host physical address of the backing's first byte; -1 when it has none. */
  readonly physical: number;
  readonly file: Reference | null;
  /** Whether a forked child sees the same memory instead of a copy. */
  readonly shared: boolean;
}

export interface Area {
  readonly start: number;
  /** First address behind the area. */
  readonly end: number;
  readonly prot: number;
  readonly backing: Backing;
  /** Byte offset of `start` in the backing. */
  readonly offset: number;
  /** Size of the pages that hold it; larger than the base page for huge pages. */
  readonly pageSize: number;
}

/** The part of an area inside [start, end), with its own reference on the file. */
export function cut(area: Area, start: number, end: number, prot: number = area.prot): Area {
  area.backing.file?.get();
  return { ...area, start, end, prot, offset: area.offset + (start - area.start) };
}

/** Index of the first area that ends behind `address`; areas are sorted and do not overlap. */
export function firstEndingAfter(areas: readonly Area[], address: number): number {
  let low = 0;
  let high = areas.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((areas[middle] as Area).end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}
