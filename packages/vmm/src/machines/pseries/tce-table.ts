// A guest's I/O translation table for one DMA window (LIOBN): an array of 64-bit TCEs (translation control entries) indexed
// by bus page. One class for VIO devices, emulated PCI functions and passed-through ones; DMA, hypercalls and listeners read
// the same entries wherever they lie: in this program, or in KVM, which then writes them without a word to user space.
// Source: PAPR 2.7 section 14.5.4.2; QEMU 7.2 hw/ppc/spapr_iommu.c (SpaprTceTable, spapr_tce_set_need_vfio).
// Invariants: an entry holds exactly what the guest stored, valid or not; a table that leaves KVM takes its entries along;
// 64-bit values are two 32-bit halves, low first, as the host (little-endian) keeps them.
import type { TceWindowSummary } from "../../summary.ts";
import type { KernelTceTable, WindowGeometry } from "./tce-acceleration.ts";

/** What the summary says of a window; the table keeps it up to date. */
export type WindowRecord = { -readonly [K in keyof TceWindowSummary]: TceWindowSummary[K] };

/**
 * Hears of windows, and of entries that were not written by KVM. Nothing here throws: a failed entry is counted by the
 * listener, the guest sees success. All listeners stand for passed-through devices.
 */
export interface TceListener {
  /** A window to be had before its first entry. False: what does the DMA cannot have it. May call leaveKernel(). */
  windowAdded(table: SpaprTceTable): boolean;
  windowRemoved(table: SpaprTceTable): void;
  /** Entry `index` changed from permissions `oldPermissions` to the value in the table. */
  entryChanged(table: SpaprTceTable, index: number, oldPermissions: number): void;
}

export interface TableAttachments {
  readonly record: WindowRecord;
  readonly listeners: readonly TceListener[];
}

export class SpaprTceTable implements WindowGeometry {
  readonly liobn: number;
  readonly pageShift: number;
  readonly busHi: number;
  readonly busLo: number;
  readonly entries: number;
  readonly pageBytes: number;
  readonly record: WindowRecord;
  /** Who hears of entries; the list may grow. */
  readonly listeners: readonly TceListener[];
  /** [2i] low half, [2i+1] high half of entry i; null where the kernel shows its table access by access. */
  private words: Uint32Array | null;
  private kernel: KernelTceTable | null;

  /** An empty table; `kernel` is the one that KVM keeps, null for none. */
  constructor(geometry: WindowGeometry, kernel: KernelTceTable | null, attached: TableAttachments) {
    this.pageBytes = 2 ** geometry.pageShift;
    this.liobn = geometry.liobn;
    this.pageShift = geometry.pageShift;
    this.busHi = geometry.busHi;
    this.busLo = geometry.busLo;
    this.entries = geometry.entries;
    this.kernel = kernel;
    this.words = kernel === null ? new Uint32Array(geometry.entries * 2) : kernel.words;
    this.record = attached.record;
    this.listeners = attached.listeners;
  }

  /** Descriptor of the table in KVM, -1 when it is in this program. */
  get kernelFd(): number {
    return this.kernel?.fd ?? -1;
  }

  /** Low half of an entry below `entries`. */
  low(index: number): number {
    const { words } = this;
    return words !== null ? words[index * 2]! : this.kernel!.load(index * 2);
  }

  high(index: number): number {
    const { words } = this;
    return words !== null ? words[index * 2 + 1]! : this.kernel!.load(index * 2 + 1);
  }

  put(index: number, high: number, low: number): void {
    const { words } = this;
    if (words !== null) {
      words[index * 2] = low;
      words[index * 2 + 1] = high;
    } else {
      this.kernel!.store(index * 2, low);
      this.kernel!.store(index * 2 + 1, high);
    }
  }

  /** Index of the entry for a bus address (low bits ignored), -1 when the address is not in the window. */
  indexOf(ioHi: number, ioLo: number): number {
    let lo = ioLo - this.busLo;
    let hi = ioHi - this.busHi;
    if (lo < 0) {
      lo += 0x1_0000_0000;
      hi -= 1;
    }
    // Entries are at most 2^24 of at most 2^34 bytes: a larger distance is outside whatever its exact value.
    if (hi < 0 || hi >= 0x20_0000) return -1;
    const index = Math.floor((hi * 0x1_0000_0000 + lo) / this.pageBytes);
    return index < this.entries ? index : -1;
  }

  /** Bus address of an entry relative to the window's start, as a number (< 2^53 checked at creation). */
  offsetOf(index: number): number {
    return index * this.pageBytes;
  }

  /** From now on KVM has no table for the LIOBN, and every hypercall on it comes to user space. */
  leaveKernel(reason: string): void {
    const { kernel } = this;
    if (kernel === null) return;
    const words = new Uint32Array(this.entries * 2);
    if (kernel.words !== null) words.set(kernel.words);
    else for (let word = 0; word < words.length; word++) words[word] = kernel.load(word);
    this.words = words;
    this.kernel = null;
    kernel.close();
    this.record.inKernel = false;
    this.record.reason = reason;
  }

  /** The window is gone. */
  close(): void {
    this.kernel?.close();
    this.kernel = null;
    this.words = new Uint32Array(0);
    this.record.open = false;
  }
}
