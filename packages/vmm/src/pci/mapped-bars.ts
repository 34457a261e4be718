// BARs of a passed-through function that the guest reaches without an exit: the region's pages are mapped here and shown
// to KVM as memory at the address that the guest decodes the BAR at.
// What cannot be shown is trapped, an access at a time: BARs smaller than a page or not at a page, I/O ports, regions that
// the host does not map, and the pages of the MSI-X table and pending bits, which are the monitor's.
// Source: include/uapi/linux/vfio.h (VFIO_REGION_INFO_FLAG_MMAP, _CAP_SPARSE_MMAP); QEMU 7.2 hw/vfio/common.c.
// Invariants: a slot exists only while the BAR is decoded; nothing here throws, what fails is reported and trapped.
import type { Mapping } from "@minivmm/host";
import type { Msix } from "@minivmm/pci/capabilities";
import type { BarDescription } from "@minivmm/pci/function";
import { mappableAreas, type RegionArea, type VfioDevice } from "@minivmm/vfio-core";

/** KVM's memory slots, as far as a device uses them. */
export interface DeviceMemorySlots {
  readonly pageSize: number;
  /** Shows memory of this process to the guest; the slot's number. Throws KvmError. */
  add(guestAddress: number, memory: Uint8Array): number;
  remove(slot: number, guestAddress: number): void;
}

interface Shown {
  readonly slot: number;
  readonly address: number;
}

/** One mapping is viewed through one typed array, whose size has a limit. */
const PART_MAX = 2 ** 30;

export class MappedBars {
  private readonly device: VfioDevice;
  private readonly slots: DeviceMemorySlots;
  private readonly msix: Msix | null;
  private readonly problem: (message: string) => void;
  /** By index of the BAR: what is mapped of it. */
  private readonly mapped = new Map<number, { part: RegionArea; mapping: Mapping }[]>();
  private readonly shown = new Map<number, Shown[]>();

  constructor(device: VfioDevice, slots: DeviceMemorySlots, msix: Msix | null, problem: (message: string) => void) {
    this.device = device;
    this.slots = slots;
    this.msix = msix;
    this.problem = problem;
  }

  /** Bytes of guest address space that no exit stands in front of. */
  get directBytes(): number {
    let sum = 0;
    for (const index of this.shown.keys()) sum += this.directBytesOf(index);
    return sum;
  }

  /** Those of one BAR. */
  directBytesOf(index: number): number {
    const { length } = this.shown.get(index) ?? [];
    if (length === 0) return 0;
    return (this.mapped.get(index) ?? []).reduce((sum, { part }) => sum + part.size, 0);
  }

  /** The guest decodes the BAR at `address` from now on, -1: nowhere. */
  moved(bar: BarDescription, address: number): void {
    if (bar.type !== "mem32" && bar.type !== "mem64") return;
    this.hide(bar.index);
    if (address < 0 || address % this.slots.pageSize !== 0) return;
    const shown: Shown[] = [];
    this.shown.set(bar.index, shown);
    for (const { part, mapping } of this.mappingsOf(bar)) {
      const at = address + part.offset;
      this.attempt(`show BAR ${bar.index} to the guest at 0x${at.toString(16)}`, () => {
        shown.push({ slot: this.slots.add(at, mapping.bytes as Uint8Array), address: at });
      });
    }
  }

  /** Takes everything away again; the device is about to be closed or has gone. */
  close(): void {
    for (const index of [...this.shown.keys()]) this.hide(index);
    for (const parts of this.mapped.values()) for (const { mapping } of parts) mapping.close();
    this.mapped.clear();
  }

  private hide(index: number): void {
    for (const { slot, address } of this.shown.get(index) ?? []) {
      this.attempt(`hide BAR ${index}`, () => this.slots.remove(slot, address));
    }
    this.shown.delete(index);
  }

  private mappingsOf(bar: BarDescription): { part: RegionArea; mapping: Mapping }[] {
    let parts = this.mapped.get(bar.index);
    if (parts !== undefined) return parts;
    parts = [];
    this.mapped.set(bar.index, parts);
    for (const part of mappableParts(this.device, bar, this.msix, this.slots.pageSize)) {
      this.attempt(`map BAR ${bar.index}`, () => {
        const mapping = this.device.mapRegion(bar.index, part.offset, part.size);
        // A modelled device's registers are no memory that KVM could show.
        if (mapping.bytes === null) mapping.close();
        else parts?.push({ part, mapping });
      });
    }
    return parts;
  }

  private attempt(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.problem(`${what}: ${error instanceof Error ? error.message : String(error)}; its accesses are trapped`);
    }
  }
}

/** Whole pages of a BAR that the host maps, without those of the MSI-X structures. */
export function mappableParts(
  device: Pick<VfioDevice, "region">,
  bar: BarDescription,
  msix: Msix | null,
  pageSize: number,
): RegionArea[] {
  const region = device.region(bar.index);
  let parts = mappableAreas(region);
  if (msix !== null && msix.bar === bar.index) {
    parts = without(parts, msix.tableOffset, msix.table.byteLength, pageSize);
    parts = without(parts, msix.pbaOffset, Math.ceil(msix.vectors / 64) * 8, pageSize);
  }
  return parts.flatMap(({ offset, size }) => {
    const start = Math.ceil(offset / pageSize) * pageSize;
    const end = Math.floor(Math.min(offset + size, region.size) / pageSize) * pageSize;
    const pieces: RegionArea[] = [];
    for (let at = start; at < end; at += PART_MAX) pieces.push({ offset: at, size: Math.min(PART_MAX, end - at) });
    return pieces;
  });
}

function without(parts: readonly RegionArea[], offset: number, size: number, pageSize: number): RegionArea[] {
  if (!Number.isFinite(offset) || offset >= Number.MAX_SAFE_INTEGER) return [...parts];
  const start = Math.floor(offset / pageSize) * pageSize;
  const end = Math.ceil((offset + size) / pageSize) * pageSize;
  return parts.flatMap((part) => {
    const partEnd = part.offset + part.size;
    if (end <= part.offset || start >= partEnd) return [part];
    const before = { offset: part.offset, size: start - part.offset };
    const after = { offset: end, size: partEnd - end };
    return [before, after].filter((piece) => piece.size > 0);
  });
}
