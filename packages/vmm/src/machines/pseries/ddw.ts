// DMA windows of a partitionable endpoint: the default 32-bit window and dynamic DMA windows (DDW), which a guest
// opens for 64-bit DMA, usually over all of its memory.
// Source: PAPR 2.7 section 7.3.x (ibm,query/create/remove/reset-pe-dma-window), QEMU 7.2 hw/ppc/spapr_rtas_ddw.c.
// Invariants: at most two windows; a window that the guest created and removed last brings the default one back.

import { MAX_TCES, type TceTables } from "./iommu.ts";
import { DDW_WINDOW_HI, DDW_WINDOW_LO, pciLiobn } from "./memory-map.ts";

/** Bits of the page-size mask that the query call returns, with the page shift of each. */
const PAGE_SHIFTS: readonly (readonly [bit: number, shift: number])[] = [
  [0x1, 12],
  [0x2, 16],
  [0x4, 24],
  [0x100, 21],
];

export const DDW_PAGE_MASK = PAGE_SHIFTS.reduce((mask, [bit]) => mask | bit, 0);
const MAX_WINDOWS = 2;
const DEFAULT_PAGE_SHIFT = 12;

export type CreateWindowResult =
  | { readonly ok: true; readonly liobn: number; readonly busHi: number; readonly busLo: number }
  | { readonly ok: false; readonly reason: "parameter" | "resource" };

export class DmaWindows {
  readonly defaultBytes: number;
  private readonly tables: TceTables;

  constructor(tables: TceTables, defaultBytes: number) {
    this.tables = tables;
    this.defaultBytes = defaultBytes;
    this.addDefault();
  }

  /** LIOBNs that windows of this bridge use. */
  static readonly liobns: readonly number[] = [pciLiobn(0), pciLiobn(1)];

  private get active(): number {
    return DmaWindows.liobns.filter((liobn) => this.tables.find(liobn) !== undefined).length;
  }

  /** Windows that can still be created. */
  get available(): number {
    return MAX_WINDOWS - this.active;
  }

  /** Largest window in entries. */
  get largestBlock(): number {
    return MAX_TCES;
  }

  /** ibm,create-pe-dma-window: 2^windowShift bytes in pages of 2^pageShift. */
  create(pageShift: number, windowShift: number): CreateWindowResult {
    const known = PAGE_SHIFTS.some(([, shift]) => shift === pageShift);
    if (!known || windowShift < pageShift || windowShift > 63) return { ok: false, reason: "parameter" };
    const liobn = DmaWindows.liobns.find((candidate) => this.tables.find(candidate) === undefined);
    if (liobn === undefined || windowShift - pageShift > Math.log2(MAX_TCES)) return { ok: false, reason: "resource" };
    const low = this.active === 0;
    const busHi = low ? 0 : DDW_WINDOW_HI;
    const busLo = low ? 0 : DDW_WINDOW_LO;
    const entries = 2 ** (windowShift - pageShift);
    if (!this.tables.add({ liobn, pageShift, busHi, busLo, entries })) return { ok: false, reason: "resource" };
    return { ok: true, liobn, busHi, busLo };
  }

  /** ibm,remove-pe-dma-window. False: no such window. */
  remove(liobn: number): boolean {
    if (!DmaWindows.liobns.includes(liobn)) return false;
    const wasDefault = this.isDefault(liobn);
    if (!this.tables.remove(liobn)) return false;
    if (this.active === 0 && !wasDefault) this.addDefault();
    return true;
  }

  /** ibm,reset-pe-dma-window: only the default window, empty. */
  reset(): void {
    for (const liobn of DmaWindows.liobns) this.tables.remove(liobn);
    this.addDefault();
  }

  private isDefault(liobn: number): boolean {
    const table = this.tables.find(liobn);
    return (
      liobn === pciLiobn(0) &&
      table !== undefined &&
      table.pageShift === DEFAULT_PAGE_SHIFT &&
      table.entries === this.defaultEntries
    );
  }

  private get defaultEntries(): number {
    return this.defaultBytes / 2 ** DEFAULT_PAGE_SHIFT;
  }

  private addDefault(): void {
    this.tables.add({
      liobn: pciLiobn(0),
      pageShift: DEFAULT_PAGE_SHIFT,
      busHi: 0,
      busLo: 0,
      entries: this.defaultEntries,
    });
  }
}
