// Applies the guest's DMA windows and TCEs to a VFIO container of the sPAPR kind: windows become host windows, entries
// become MAP_DMA and UNMAP_DMA requests on the guest's RAM.
// Where KVM keeps a window's table it writes the host's entries itself, once it is told of the container's groups; what
// comes here then is what KVM left to user space.
// Source: QEMU 7.2 hw/vfio/common.c and spapr.c: host page choice, levels, READ always given, one retry after EBUSY.
// Invariants: a window whose table is KVM's is linked for every group of the container, or its table leaves KVM; nothing here throws at the guest: failures are counted and the first few kept in words; only guest RAM
// is ever mapped; the path of an entry allocates nothing.
import { EBUSY, type GuestMemory } from "@minivmm/host";
import { TCE_PERMISSIONS, TCE_WRITE } from "../machines/pseries/iommu.ts";
import { type TceAcceleration, VERSION_1 } from "../machines/pseries/tce-acceleration.ts";
import type { SpaprTceTable, TceListener } from "../machines/pseries/tce-table.ts";
import type { DmaSummary } from "../summary.ts";

const MAP_READ = 1;
const MAP_WRITE = 2;
const MESSAGES_MAX = 8;

/** What is asked of the container; SpaprContainer of @minivmm/spapr-iommu answers it. */
export interface SpaprDmaTarget {
  createWindow(request: { pageShift: number; windowSize: bigint; levels: number }): bigint;
  removeWindow(start: bigint): void;
  mapDma(iovaHi: number, iovaLo: number, vaddrHi: number, vaddrLo: number, size: number, flags: number): number;
  unmapDma(iovaHi: number, iovaLo: number, size: number): number;
}

export interface SpaprDmaOptions {
  readonly target: SpaprDmaTarget;
  readonly ram: GuestMemory;
  /** User address of guest physical 0. */
  readonly ramAddress: bigint;
  /** IOMMU page sizes that the host supports, one bit each. 0: the container makes no windows (v1). */
  readonly pgsizes: bigint;
  readonly maxLevels: number;
  readonly hostPageSize: number;
  readonly counters: DmaSummary;
  /** Present under KVM, with the groups that KVM knows. */
  readonly acceleration?: Pick<TceAcceleration, "linkGroup"> | undefined;
}

export class SpaprDma implements TceListener {
  private readonly options: SpaprDmaOptions;
  private readonly target: SpaprDmaTarget;
  private readonly ram: GuestMemory;
  private readonly counters: DmaSummary;
  private readonly ramHi: number;
  private readonly ramLo: number;
  private readonly groups: number[] = [];
  private readonly live = new Set<SpaprTceTable>();

  constructor(options: SpaprDmaOptions) {
    this.options = options;
    this.target = options.target;
    this.ram = options.ram;
    this.counters = options.counters;
    this.ramHi = Number(options.ramAddress >> 32n);
    this.ramLo = Number(options.ramAddress & 0xffffffffn);
  }

  windowAdded(table: SpaprTceTable): boolean {
    if (this.options.pgsizes !== 0n && !this.createWindow(table)) return false;
    this.live.add(table);
    if (this.options.pgsizes === 0n) table.leaveKernel(VERSION_1);
    for (const group of this.groups) this.link(table, group);
    return true;
  }

  /** A group of the container that KVM was told of, by its descriptor; before the listener hears of windows, or later. */
  addGroup(groupFd: number): void {
    this.groups.push(groupFd);
    for (const table of this.live) this.link(table, groupFd);
  }

  /** No window of this container is left in the host. */
  close(): void {
    for (const table of [...this.live]) this.windowRemoved(table);
  }

  windowRemoved(table: SpaprTceTable): void {
    if (!this.live.delete(table)) return;
    if (this.options.pgsizes === 0n) {
      for (let index = 0; index < table.entries; index++) {
        if ((table.low(index) & TCE_PERMISSIONS) !== 0) this.unmap(table, index);
      }
      return;
    }
    const start = (BigInt(table.busHi) << 32n) | BigInt(table.busLo);
    try {
      this.target.removeWindow(start);
      this.counters.windowsRemoved++;
    } catch (error) {
      this.windowError(`remove window at ${start.toString(16)}`, error);
    }
  }

  entryChanged(table: SpaprTceTable, index: number, oldPermissions: number): void {
    if (!this.live.has(table)) return;
    const low = table.low(index);
    const high = table.high(index);
    if ((low & TCE_PERMISSIONS) === 0) {
      this.unmap(table, index);
      return;
    }
    const { pageBytes } = table;
    const entry = high < 0x20_0000 ? high * 0x1_0000_0000 + low : Number.MAX_SAFE_INTEGER;
    const gpa = entry - (entry % pageBytes);
    if (!this.ram.contains(gpa, pageBytes)) {
      this.counters.notRam++;
      if (oldPermissions !== 0) this.unmap(table, index);
      return;
    }
    const flags = (low & TCE_WRITE) !== 0 ? MAP_READ | MAP_WRITE : MAP_READ;
    let result = this.map(table, index, gpa, flags);
    if (result === -EBUSY) {
      this.unmap(table, index);
      result = this.map(table, index, gpa, flags);
    }
    // A positive result means "not mapped" too: the kernel's parameter check answers 1.
    if (result === 0) return;
    this.counters.mapErrors++;
    this.say(`MAP_DMA of bus page ${index} (window ${table.liobn.toString(16)}) gave ${result}`);
  }

  private map(table: SpaprTceTable, index: number, gpa: number, flags: number): number {
    this.counters.mapCalls++;
    const io = table.busLo + table.offsetOf(index);
    const va = this.ramLo + gpa;
    return this.target.mapDma(
      table.busHi + Math.floor(io / 0x1_0000_0000),
      io % 0x1_0000_0000,
      this.ramHi + Math.floor(va / 0x1_0000_0000),
      va % 0x1_0000_0000,
      table.pageBytes,
      flags,
    );
  }

  private unmap(table: SpaprTceTable, index: number): void {
    this.counters.unmapCalls++;
    const io = table.busLo + table.offsetOf(index);
    const iovaHi = table.busHi + Math.floor(io / 0x1_0000_0000);
    const result = this.target.unmapDma(iovaHi, io % 0x1_0000_0000, table.pageBytes);
    if (result === 0) return;
    this.counters.unmapErrors++;
    this.say(`UNMAP_DMA of bus page ${index} (window ${table.liobn.toString(16)}) gave ${result}`);
  }

  private link(table: SpaprTceTable, groupFd: number): void {
    const { acceleration } = this.options;
    if (table.kernelFd < 0) return;
    const refusal = acceleration?.linkGroup(groupFd, table.kernelFd);
    if (refusal === undefined) this.counters.linked++;
    else table.leaveKernel(refusal);
  }

  private createWindow(table: SpaprTceTable): boolean {
    const pageShift = this.hostPageShift(table.pageShift);
    const where = `window ${table.liobn.toString(16)} (${table.entries} pages of ${table.pageBytes} bytes)`;
    if (pageShift < 0) {
      this.windowError(where, `the host's IOMMU has no page size of ${table.pageBytes} bytes or less`);
      return false;
    }
    const windowSize = BigInt(table.entries) << BigInt(table.pageShift);
    const wanted = (BigInt(table.busHi) << 32n) | BigInt(table.busLo);
    try {
      const start = this.createWithLevels(pageShift, windowSize);
      if (start === wanted) {
        this.counters.windowsCreated++;
        return true;
      }
      this.target.removeWindow(start);
      this.windowError(where, `the host put it at ${start.toString(16)}, the guest needs it at ${wanted.toString(16)}`);
    } catch (error) {
      this.windowError(where, error);
    }
    return false;
  }

  /** Fewest levels first, more when the host refuses. Throws the last refusal. */
  private createWithLevels(pageShift: number, windowSize: bigint): bigint {
    const pageLog = Math.log2(this.options.hostPageSize);
    const entriesLog = Math.log2(Number(windowSize)) - pageShift;
    const least = Math.max(1, Math.ceil(entriesLog / (pageLog + 8)));
    const most = Math.max(least, this.options.maxLevels);
    for (let levels = least; ; levels++) {
      try {
        return this.target.createWindow({ pageShift, windowSize, levels });
      } catch (error) {
        if (levels >= most) throw error;
      }
    }
  }

  /** Largest page that the host supports, not larger than the guest's and than the pages backing RAM. */
  private hostPageShift(guestShift: number): number {
    const limit = Math.min(guestShift, Math.log2(this.options.hostPageSize));
    for (let shift = limit; shift >= 12; shift--) {
      if ((this.options.pgsizes & (1n << BigInt(shift))) !== 0n) return shift;
    }
    return -1;
  }

  private windowError(what: string, error: unknown): void {
    this.counters.windowErrors++;
    this.say(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }

  private say(message: string): void {
    if (this.counters.messages.length < MESSAGES_MAX) this.counters.messages.push(message);
  }
}
