// The guest's I/O translation tables: one per LIOBN, an array of 64-bit TCEs (translation control entries) indexed by
// bus page. The guest writes them by hypercall; a listener applies every change to whatever does the DMA.
// Source: PAPR 2.7 section 14.5.4.2 (TCE hypercalls), QEMU 7.2 hw/ppc/spapr_iommu.c.
// Invariants: an entry holds exactly what the guest stored, valid or not; 64-bit values are two 32-bit halves; a table
// never holds more than MAX_TCES entries, which bounds what a guest can make the machine allocate.

export const TCE_READ = 1;
export const TCE_WRITE = 2;
export const TCE_PERMISSIONS = 3;
/** Entries that one window may have: 128 MiB of table. */
export const MAX_TCES = 2 ** 24;

export interface WindowGeometry {
  readonly liobn: number;
  readonly pageShift: number;
  /** Bus address of entry 0, a multiple of the page size. */
  readonly busHi: number;
  readonly busLo: number;
  readonly entries: number;
}

/** Hears of windows and entries. Nothing here throws: a failed entry is counted by the listener, the guest sees success. */
export interface TceListener {
  /** False: what does the DMA cannot have this window. */
  windowAdded(table: TceTable): boolean;
  windowRemoved(table: TceTable): void;
  /** Entry `index` changed from permissions `oldPermissions` to the value in the table. */
  entryChanged(table: TceTable, index: number, oldPermissions: number): void;
}

export class TceTable implements WindowGeometry {
  readonly liobn: number;
  readonly pageShift: number;
  readonly busHi: number;
  readonly busLo: number;
  readonly entries: number;
  readonly pageBytes: number;
  readonly listeners: readonly TceListener[];
  /** [2i] low half, [2i+1] high half of entry i. */
  readonly words: Uint32Array;

  constructor(geometry: WindowGeometry, listeners: readonly TceListener[]) {
    this.listeners = listeners;
    this.pageBytes = 2 ** geometry.pageShift;
    this.liobn = geometry.liobn;
    this.pageShift = geometry.pageShift;
    this.busHi = geometry.busHi;
    this.busLo = geometry.busLo;
    this.entries = geometry.entries;
    this.words = new Uint32Array(geometry.entries * 2);
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
}

/** All tables of the machine, by LIOBN. */
export class TceTables {
  private readonly byLiobn = new Map<number, TceTable>();
  private readonly listeners = new Map<number, TceListener[]>();
  private last: TceTable | undefined;

  /** Guests work on one window for long, so the last one found is looked at first. */
  find(liobn: number): TceTable | undefined {
    const { last } = this;
    if (last !== undefined && last.liobn === liobn) return last;
    const table = this.byLiobn.get(liobn);
    this.last = table;
    return table;
  }

  *[Symbol.iterator](): IterableIterator<TceTable> {
    yield* this.byLiobn.values();
  }

  /** Hears of the tables with these LIOBNs, of those that exist at once. */
  listen(liobns: readonly number[], listener: TceListener): void {
    for (const liobn of liobns) {
      this.listenersOf(liobn).push(listener);
      const table = this.byLiobn.get(liobn);
      if (table !== undefined) listener.windowAdded(table);
    }
  }

  /** Opens a window. False when the LIOBN is taken, the table would be too large, or a listener refuses. */
  add(geometry: WindowGeometry): boolean {
    const bytes = geometry.entries * 2 ** geometry.pageShift;
    if (this.byLiobn.has(geometry.liobn) || geometry.entries < 1 || geometry.entries > MAX_TCES || bytes > 2 ** 52) {
      return false;
    }
    const table = new TceTable(geometry, this.listenersOf(geometry.liobn));
    this.byLiobn.set(geometry.liobn, table);
    const refused = table.listeners.findIndex((listener) => !listener.windowAdded(table));
    if (refused < 0) return true;
    for (const listener of table.listeners.slice(0, refused)) listener.windowRemoved(table);
    this.last = undefined;
    this.byLiobn.delete(geometry.liobn);
    return false;
  }

  remove(liobn: number): boolean {
    const table = this.byLiobn.get(liobn);
    if (table === undefined) return false;
    for (const listener of table.listeners) listener.windowRemoved(table);
    this.last = undefined;
    return this.byLiobn.delete(liobn);
  }

  /** Stores an entry that the caller has range-checked, and tells the listeners. */
  store(table: TceTable, index: number, hi: number, lo: number): void {
    const { words } = table;
    const at = index * 2;
    const oldPermissions = words[at]! & TCE_PERMISSIONS;
    words[at] = lo;
    words[at + 1] = hi;
    if (oldPermissions === 0 && (lo & TCE_PERMISSIONS) === 0) return;
    const { listeners } = table;
    for (let i = 0; i < listeners.length; i++) listeners[i]!.entryChanged(table, index, oldPermissions);
  }

  private listenersOf(liobn: number): TceListener[] {
    let list = this.listeners.get(liobn);
    if (list === undefined) {
      list = [];
      this.listeners.set(liobn, list);
    }
    return list;
  }
}
