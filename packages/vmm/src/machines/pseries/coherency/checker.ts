// The checker of a pseries guest's DMA: each request is followed through the windows before it is made, and RAM that it reaches is
// compared with what memory behind a cache would hold (cache-shadow.ts). What should not be is reported; nothing turns out
// otherwise for guest or device.
// Source: PAPR 2.7 section 14.5.4.2 (TCEs); PCI Express Base 4.0 section 2.2.6.5 (No Snoop).
// Invariants: a request is checked before memory changes; what a guest can make this keep is bounded (CoherencyLog,
// UnmappedRanges, one copy of RAM).
import type { GuestMemory } from "@minivmm/host";
import { type DmaPort, TLP_NO_SNOOP } from "@minivmm/pci/function";
import { address, type CoherencyLog } from "../../../coherency/report.ts";
import { TCE_PERMISSIONS, TCE_READ, TCE_WRITE, type TceObserver, type TceTables } from "../iommu.ts";
import type { SpaprTceTable } from "../tce-table.ts";
import type { CacheShadow, Unflushed } from "./cache-shadow.ts";
import { type DmaStep, walkDma } from "./dma-walk.ts";
import { type GuestCall, UnmappedRanges } from "./unmapped.ts";

/** Where the guest is. */
export interface GuestPosition {
  /** Of the instruction that it executes, or of the next one. */
  pc(): bigint;
  /** The call that the machine carries out for it; the same object throughout one. */
  call(): GuestCall;
}

export interface CheckerOptions {
  readonly ram: GuestMemory;
  readonly tables: TceTables;
  readonly shadow: CacheShadow;
  readonly position: GuestPosition;
  readonly log: CoherencyLog;
  /** The machine's IOMMU makes all DMA snoop, whatever requests say. */
  readonly enforcesSnoop: boolean;
  /** Empties the CPU's TLBs. */
  readonly forget: () => void;
}

/** A request of a device, by whichever way it is known. */
export interface CheckedRequest {
  readonly device: string;
  /** Windows that the device's DMA goes through. */
  readonly liobns: readonly number[];
  readonly hi: number;
  readonly lo: number;
  readonly length: number;
  readonly write: boolean;
  readonly noSnoop: boolean;
}

const PAGE = 4096;
/** Pages whose last writer past the caches is remembered. */
const WRITERS_MAX = 4096;

export class CoherencyChecker implements TceObserver {
  readonly log: CoherencyLog;
  private readonly options: CheckerOptions;
  private readonly unmapped = new UnmappedRanges();
  /** Who wrote a page without snooping last, and at which bus address. */
  private readonly writers = new Map<number, CheckedRequest>();

  constructor(options: CheckerOptions) {
    this.options = options;
    this.log = options.log;
    const { shadow, ram, forget } = options;
    shadow.attach(ram, forget, (real, write) => this.usedStale(real, write));
  }

  /** The same memory, with each request checked. */
  guard(device: string, dma: DmaPort, liobns: readonly number[]): DmaPort {
    const checked = (hi: number, lo: number, bytes: Uint8Array, write: boolean, attributes: number): boolean => {
      const noSnoop = (attributes & TLP_NO_SNOOP) !== 0;
      const request: CheckedRequest = { device, liobns, hi, lo, length: bytes.length, write, noSnoop };
      this.before(request);
      const done = write ? dma.write(hi, lo, bytes, attributes) : dma.read(hi, lo, bytes, attributes);
      this.after(request);
      return done;
    };
    return {
      read: (hi, lo, into, attributes = 0) => checked(hi, lo, into, false, attributes),
      write: (hi, lo, from, attributes = 0) => checked(hi, lo, from, true, attributes),
    };
  }

  /** A request is about to be made. */
  before(request: CheckedRequest): void {
    for (const step of this.walk(request)) {
      if (step.refusal !== null) this.refused(request, step);
      else if (this.bypasses(request)) this.checkFlushed(request, step);
    }
  }

  /** It has been made, as far as the windows let it. */
  after(request: CheckedRequest): void {
    if (!request.write) return;
    const { shadow } = this.options;
    for (const { real, length, refusal } of this.walk(request)) {
      if (refusal !== null) return;
      if (!this.bypasses(request)) {
        shadow.snooped(real, length);
        continue;
      }
      shadow.bypassed(real, length);
      for (let page = Math.floor(real / PAGE); page * PAGE < real + length; page++) this.noteWriter(page, request);
    }
  }

  /** The host's IOMMU refused what the guest's windows let through. */
  refusedByHost(request: CheckedRequest): void {
    for (const step of this.walk(request)) {
      if (step.refusal !== null) return;
      const { busHi, busLo, real } = step;
      this.report(request, "not-mapped", { busHi, busLo, page: real - (real % PAGE) }, () => ({
        mapping: `${leadsTo(step)}, which the host did not map`,
        missing: "a mapping that the host makes: the summary has its refusals",
      }));
      return;
    }
  }

  /** An entry is replaced by (hi, lo). */
  replaced(table: SpaprTceTable, index: number, hi: number, lo: number): void {
    const [oldHi, oldLo] = [table.high(index), table.low(index)];
    const leaves = (lo & TCE_PERMISSIONS) === 0 || hi !== oldHi || (lo ^ oldLo) >>> table.pageShift !== 0;
    if (leaves) this.unmapped.add(table, index, oldHi, oldLo, this.options.position.call());
  }

  removed(table: SpaprTceTable): void {
    const call = this.options.position.call();
    for (let index = 0; index < table.entries; index++) {
      const lo = table.low(index);
      if ((lo & TCE_PERMISSIONS) !== 0) this.unmapped.add(table, index, table.high(index), lo, call);
    }
  }

  private walk({ liobns, hi, lo, length, write }: CheckedRequest): Generator<DmaStep> {
    const { tables, ram } = this.options;
    return walkDma(tables, liobns, ram.size, { busHi: hi, busLo: lo, length, write });
  }

  private bypasses({ noSnoop }: CheckedRequest): boolean {
    return noSnoop && !this.options.enforcesSnoop;
  }

  private refused(request: CheckedRequest, step: DmaStep): void {
    const { busHi, busLo, real, refusal } = step;
    const former =
      refusal === "permission" || refusal === "no RAM" ? undefined : this.unmapped.find(request.liobns, busHi, busLo);
    const page = real < 0 ? null : real - (real % PAGE);
    if (former !== undefined) {
      const { call, hi, lo } = former;
      const was = hi * 2 ** 32 + lo;
      const formerPage = was - (was % PAGE);
      this.report(request, "unmapped", { busHi, busLo, page: formerPage }, () => ({
        mapping: `guest page 0x${formerPage.toString(16)} until ${call.name} at 0x${call.pc.toString(16)}`,
        missing: "the mapping, for as long as the device uses it",
      }));
      return;
    }
    if (refusal === "permission") {
      this.report(request, "permission", { busHi, busLo, page }, () => ({
        mapping: leadsTo(step),
        missing: `permission for the device to ${request.write ? "write" : "read"}`,
      }));
    } else if (refusal === "not mapped") {
      this.report(request, "not-mapped", { busHi, busLo, page }, () => ({
        mapping: `nothing, in window 0x${(step.table as SpaprTceTable).liobn.toString(16)}`,
        missing: "H_PUT_TCE before the device is told of the address",
      }));
    } else {
      this.report(request, "outside", { busHi, busLo, page }, () => ({
        mapping: refusal === "no RAM" ? `${leadsTo(step)}, which is no RAM` : this.windowsOf(request),
        missing: refusal === "no RAM" ? "an entry that leads to RAM" : "an address in a window",
      }));
    }
  }

  private checkFlushed(request: CheckedRequest, step: DmaStep): void {
    const { busHi, busLo, real, length } = step;
    const found = this.options.shadow.unflushed(real, length);
    if (found.written === 0) return;
    this.report(request, "unflushed", { busHi, busLo, page: real - (real % PAGE) }, () => ({
      mapping: leadsTo(step),
      missing: flushes(found),
    }));
  }

  /** The CPU uses a block that a device has written behind the cache. */
  private usedStale(real: number, write: boolean): void {
    const page = Math.floor(real / PAGE);
    const writer = this.writers.get(page);
    if (writer === undefined) return;
    const { device, hi, lo } = writer;
    this.log.add({
      kind: "not-invalidated",
      device,
      write: true,
      busHi: hi,
      busLo: lo,
      page: page * PAGE,
      describe: () => ({
        pc: this.options.position.pc(),
        mapping: `guest page 0x${(page * PAGE).toString(16)}, of which the CPU ${write ? "changes" : "loads"} 0x${real.toString(16)} in its cache`,
        missing: "dcbf of what the device has written, before it is used",
      }),
    });
  }

  private noteWriter(page: number, request: CheckedRequest): void {
    this.writers.delete(page);
    this.writers.set(page, request);
    if (this.writers.size <= WRITERS_MAX) return;
    for (const oldest of this.writers.keys()) {
      this.writers.delete(oldest);
      return;
    }
  }

  private report(
    { device, write }: CheckedRequest,
    kind: Parameters<CoherencyLog["add"]>[0]["kind"],
    { busHi, busLo, page }: { busHi: number; busLo: number; page: number | null },
    words: () => { mapping: string; missing: string },
  ): void {
    const describe = () => ({ pc: this.options.position.pc(), ...words() });
    this.log.add({ kind, device, write, busHi, busLo, page, describe });
  }

  private windowsOf({ liobns }: CheckedRequest): string {
    const windows = liobns.flatMap((liobn) => {
      const table = this.options.tables.find(liobn);
      if (table === undefined) return [];
      const end = table.busLo + table.offsetOf(table.entries);
      return [
        `${address(table.busHi, table.busLo)} to ${address(table.busHi + Math.floor(end / 2 ** 32), end % 2 ** 32)}`,
      ];
    });
    return windows.length === 0 ? "nothing: the device has no window" : `nothing: windows are ${windows.join(", ")}`;
  }
}

function leadsTo({ real, permissions }: DmaStep): string {
  const may = [permissions & TCE_READ ? "read" : [], permissions & TCE_WRITE ? "write" : []].flat().join(" and ");
  return `guest page 0x${(real - (real % PAGE)).toString(16)}, to ${may}`;
}

function flushes({ blocks, written, unsynced }: Unflushed): string {
  if (unsynced === written) return `hwsync after the flush of ${written} of ${blocks} blocks`;
  return `dcbf or dcbst, and hwsync, of ${written} of ${blocks} blocks that the CPU has written`;
}
