// The machine's IOMMU: all TCE tables by LIOBN, and who hears of their entries. The guest writes them by hypercall; a
// listener applies windows and entries to the host's IOMMU, for devices that are passed through.
// Source: PAPR 2.7 section 14.5.4.2 (TCE hypercalls), QEMU 7.2 hw/ppc/spapr_iommu.c.
// Invariants: a table never holds more than MAX_TCES entries, which bounds what a guest can make the machine allocate;
// whether KVM keeps a table is decided before a listener hears of it, and a listener may still take it out.
import { type TceAcceleration, type TceUse, type WindowGeometry, whyNotInKernel } from "./tce-acceleration.ts";
import { SpaprTceTable, type TceListener, type WindowRecord } from "./tce-table.ts";

export const TCE_READ = 1;
export const TCE_WRITE = 2;
export const TCE_PERMISSIONS = 3;
/** Entries that one window may have: 128 MiB of table. */
export const MAX_TCES = 2 ** 24;

export interface TceTablesOptions {
  readonly acceleration?: TceAcceleration | undefined;
  /** Let KVM answer for windows of passed-through devices. Default true. */
  readonly vfioAccel?: boolean;
}

/** Where listeners go. */
export interface TceWindows {
  listen(listener: TceListener): void;
  unlisten(listener: TceListener): void;
}

/** Hears of mappings that end, in tables of this program. */
export interface TceObserver {
  /** The entry, which has permissions, is about to become (hi, lo). */
  replaced(table: SpaprTceTable, index: number, hi: number, lo: number): void;
  /** The window is about to go. */
  removed(table: SpaprTceTable): void;
}

/** All tables of the machine, by LIOBN. */
export class TceTables {
  observer: TceObserver | undefined;
  private readonly acceleration: TceAcceleration | undefined;
  private readonly vfioAccel: boolean;
  private readonly byLiobn = new Map<number, SpaprTceTable>();
  private readonly listeners = new Map<number, TceListener[]>();
  private readonly records = new Map<number, WindowRecord>();
  private last: SpaprTceTable | undefined;

  constructor({ acceleration, vfioAccel = true }: TceTablesOptions = {}) {
    this.acceleration = acceleration;
    this.vfioAccel = vfioAccel;
  }

  /** Guests work on one window for long, so the last one found is looked at first. */
  find(liobn: number): SpaprTceTable | undefined {
    const { last } = this;
    if (last !== undefined && last.liobn === liobn) return last;
    const table = this.byLiobn.get(liobn);
    this.last = table;
    return table;
  }

  *[Symbol.iterator](): IterableIterator<SpaprTceTable> {
    yield* this.byLiobn.values();
  }

  /** Every window that there was, by LIOBN, as it was last. */
  windows(): WindowRecord[] {
    return [...this.records.values()].sort((a, b) => a.liobn - b.liobn).map((record) => ({ ...record }));
  }

  /** Hears of the tables with these LIOBNs, of those that exist at once, whose entries are told it like new ones. */
  listen(liobns: readonly number[], listener: TceListener): void {
    for (const liobn of liobns) {
      this.listenersOf(liobn).push(listener);
      const table = this.byLiobn.get(liobn);
      if (table === undefined) continue;
      table.record.use = "vfio";
      const why = this.whyNot("vfio");
      if (why !== undefined) {
        table.leaveKernel(why);
        table.record.reason = why;
      }
      if (listener.windowAdded(table)) replay(table, listener);
    }
  }

  /** The windows with these LIOBNs, for those who listen to nothing else. */
  on(liobns: readonly number[]): TceWindows {
    return {
      listen: (listener) => this.listen(liobns, listener),
      unlisten: (listener) => this.unlisten(listener),
    };
  }

  /** The listener hears nothing any more; it is not told that its windows go. */
  unlisten(listener: TceListener): void {
    for (const list of this.listeners.values()) {
      const at = list.indexOf(listener);
      if (at >= 0) list.splice(at, 1);
    }
  }

  /**
   * Opens a window. False when the LIOBN is taken, the table would be too large, or a listener refuses. `use` is what the
   * window is for as long as nobody listens.
   */
  add(geometry: WindowGeometry, use: Exclude<TceUse, "vfio"> = "emulated"): boolean {
    const { liobn, entries } = geometry;
    const bytes = entries * 2 ** geometry.pageShift;
    if (this.byLiobn.has(liobn) || entries < 1 || entries > MAX_TCES || bytes > 2 ** 52) return false;
    const listeners = this.listenersOf(liobn);
    const table = this.make(geometry, listeners.length > 0 ? "vfio" : use);
    this.byLiobn.set(liobn, table);
    this.last = undefined;
    const refused = listeners.findIndex((listener) => !listener.windowAdded(table));
    if (refused < 0) return true;
    for (const listener of listeners.slice(0, refused)) listener.windowRemoved(table);
    this.forget(table);
    return false;
  }

  remove(liobn: number): boolean {
    const table = this.byLiobn.get(liobn);
    if (table === undefined) return false;
    for (const listener of this.listenersOf(liobn)) listener.windowRemoved(table);
    this.observer?.removed(table);
    this.forget(table);
    return true;
  }

  /** Stores an entry that the caller has range-checked, and tells the listeners. */
  store(table: SpaprTceTable, index: number, hi: number, lo: number): void {
    const oldPermissions = table.low(index) & TCE_PERMISSIONS;
    if (oldPermissions !== 0) this.observer?.replaced(table, index, hi, lo);
    table.put(index, hi, lo);
    if (oldPermissions === 0 && (lo & TCE_PERMISSIONS) === 0) return;
    const { listeners } = table;
    for (let i = 0; i < listeners.length; i++) listeners[i]!.entryChanged(table, index, oldPermissions);
  }

  /** Gives the kernel its tables back; listeners have been closed before. */
  close(): void {
    for (const table of [...this.byLiobn.values()]) this.forget(table);
  }

  private make(geometry: WindowGeometry, use: TceUse): SpaprTceTable {
    let reason = this.whyNot(use);
    const made = reason === undefined ? this.acceleration!.createTable(geometry) : null;
    if (typeof made === "string") reason = made;
    const kernel = typeof made === "string" ? null : made;
    const before = this.records.get(geometry.liobn);
    const record: WindowRecord = {
      liobn: geometry.liobn,
      use,
      open: true,
      inKernel: kernel !== null,
      reason,
      userCalls: before?.userCalls ?? 0,
    };
    this.records.set(geometry.liobn, record);
    return new SpaprTceTable(geometry, kernel, { record, listeners: this.listenersOf(geometry.liobn) });
  }

  private whyNot(use: TceUse): string | undefined {
    const { acceleration, vfioAccel } = this;
    const { canKeepTables = false, canLinkGroups = false } = acceleration ?? {};
    return whyNotInKernel(use, { kvm: acceleration !== undefined, canKeepTables, canLinkGroups, vfioAccel });
  }

  private forget(table: SpaprTceTable): void {
    this.last = undefined;
    this.byLiobn.delete(table.liobn);
    table.close();
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

function replay(table: SpaprTceTable, listener: TceListener): void {
  for (let index = 0; index < table.entries; index++) {
    if ((table.low(index) & TCE_PERMISSIONS) !== 0) listener.entryChanged(table, index, 0);
  }
}
