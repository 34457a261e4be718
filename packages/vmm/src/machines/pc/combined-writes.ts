// Write-combining on machine pc, for BARs of devices that are models: where the guest maps pages of a prefetchable BAR
// write-combining, KVM keeps the stores in its ring instead of leaving the guest for each, and they go on to the device in
// bursts of up to 64 bytes. (A real device's BAR is the guest's own memory, and the processor combines.)
// How a page is mapped is not told with an exit, so after some stores to a page the guest's tables are looked through; the
// zone covers the pages around it that are mapped write-combining everywhere. What is mapped otherwise is never combined.
// Source: Documentation/virt/kvm/api.rst, KVM_REGISTER_COALESCED_MMIO; Intel 64 SDM volume 3, 11.3.1 (write combining);
// PCI Local Bus 3.0, 6.2.5.1 (stores to prefetchable memory may be merged).
// Invariants: what is in the ring reaches the device before any other access does; a zone whose mapping has gone is given up
// within a tick; stores keep their order.
import type { CoalescedRing, KvmVm } from "@minivmm/kvm";
import type { DecodedRange } from "../../pci/decode.ts";
import { type GuestMapping, GuestMappings, type PagingState } from "./guest-mappings.ts";
import type { PcRam } from "./ram.ts";

/** How long stores may wait in the ring while nothing else happens, in milliseconds. */
export const COMBINE_TICK_MS = 10;
/** Stores to a page after which its mapping is looked up. */
const STORES_BEFORE_LOOK = 8;
/** A page that is not write-combining is looked at again after so many stores more. */
const STORES_BEFORE_NEXT_LOOK = 4096;
const LINE = 64;
const PAGE = 4096;

export interface CombinedWritesOptions {
  readonly vm: Pick<KvmVm, "registerCoalescedMmio" | "unregisterCoalescedMmio">;
  readonly ring: CoalescedRing;
  readonly ram: PcRam;
  /** A burst of up to 64 bytes; they are the caller's. */
  readonly write: (address: number, bytes: Uint8Array) => void;
  /** Of the CPU whose store is being carried out. */
  readonly paging: () => PagingState;
  /** Called when stores may be waiting from now on: tick() has to be called before long. */
  readonly waiting: () => void;
}

interface Zone extends DecodedRange {
  /** Where it was found to be mapped. */
  readonly linear: bigint;
  readonly paging: PagingState;
}

export class CombinedWrites {
  /** Stores that came through the ring, and what they became. */
  readonly counters = { stores: 0, bursts: 0, bytes: 0 };
  private readonly options: CombinedWritesOptions;
  private ranges: readonly DecodedRange[] = [];
  private zones: Zone[] = [];
  private readonly line = new Uint8Array(LINE);
  private lineStart = 0;
  private lineLength = 0;
  private page = -1;
  private stores = 0;
  private lookAt = STORES_BEFORE_LOOK;
  private readonly gather: (address: number, length: number, lo: number, hi: number) => void;

  constructor(options: CombinedWritesOptions) {
    this.options = options;
    this.gather = (address, length, lo, hi) => this.put(address, length, lo, hi);
  }

  /** Prefetchable BARs as they are decoded now. */
  setRanges(ranges: readonly DecodedRange[]): void {
    this.ranges = ranges;
    const inside = ({ start, end }: Zone): boolean => ranges.some((range) => start >= range.start && end <= range.end);
    for (const zone of this.zones.filter((each) => !inside(each))) this.giveUp(zone);
  }

  get active(): boolean {
    return this.zones.length > 0;
  }

  /** Before any other access, and at the end of the run. */
  drain(): void {
    if (this.zones.length === 0) return;
    if (this.options.ring.drain(this.gather) > 0) this.flush();
  }

  /** A store that left the guest. */
  stored(address: number): void {
    if (this.ranges.length === 0) return;
    const page = Math.floor(address / PAGE);
    if (page !== this.page) {
      this.page = page;
      this.stores = 0;
      this.lookAt = STORES_BEFORE_LOOK;
    }
    if (++this.stores < this.lookAt) return;
    this.lookAt = this.stores + STORES_BEFORE_NEXT_LOOK;
    const range = this.ranges.find(({ start, end }) => address >= start && address < end);
    if (range !== undefined) this.look(page * PAGE, range);
  }

  /** Hands on what waits, and gives up zones that the guest maps otherwise now. */
  tick(): void {
    this.drain();
    for (const zone of [...this.zones]) {
      const now = new GuestMappings(this.options.ram, zone.paging).at(zone.linear);
      const same = now?.type === "WC" && zone.start >= now.physical && zone.start < now.physical + now.size;
      if (!same) this.giveUp(zone);
    }
    if (this.zones.length > 0) this.options.waiting();
  }

  close(): void {
    for (const zone of [...this.zones]) this.giveUp(zone);
  }

  private look(page: number, range: DecodedRange): void {
    const paging = this.options.paging();
    const mappings = new GuestMappings(this.options.ram, paging).of(range.start, range.end);
    if (mappings === undefined) return;
    const combined = (at: number): GuestMapping | undefined => {
      const here = mappings.filter(({ physical, size }) => at >= physical && at < physical + size);
      return here.length > 0 && here.every(({ type }) => type === "WC") ? here[0] : undefined;
    };
    const first = combined(page);
    if (first === undefined) return;
    let start = page;
    while (start - PAGE >= range.start && combined(start - PAGE) !== undefined) start -= PAGE;
    let end = page + PAGE;
    while (end + PAGE <= range.end && combined(end) !== undefined) end += PAGE;
    const linear = (combined(start) as GuestMapping).linear;
    try {
      this.options.vm.registerCoalescedMmio({ address: start, size: end - start });
    } catch {
      // KVM has no more room: the stores go on leaving the guest one by one.
      return;
    }
    this.zones.push({ start, end, linear, paging });
    if (this.zones.length === 1) this.options.waiting();
  }

  private giveUp(zone: Zone): void {
    this.options.ring.drain(this.gather);
    this.flush();
    this.zones = this.zones.filter((each) => each !== zone);
    try {
      this.options.vm.unregisterCoalescedMmio({ address: zone.start, size: zone.end - zone.start });
    } catch {
      // It goes with the VM.
    }
  }

  private put(address: number, length: number, lo: number, hi: number): void {
    this.counters.stores++;
    for (let i = 0; i < length; i++) {
      const at = address + i;
      if (at !== this.lineStart + this.lineLength || this.lineLength === LINE || at % LINE === 0) {
        this.flush();
        this.lineStart = at;
      }
      this.line[this.lineLength++] = (i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))) & 0xff;
    }
  }

  private flush(): void {
    if (this.lineLength === 0) return;
    const { lineStart, lineLength } = this;
    this.counters.bursts++;
    this.counters.bytes += lineLength;
    this.lineLength = 0;
    this.options.write(lineStart, this.line.subarray(0, lineLength));
  }
}
