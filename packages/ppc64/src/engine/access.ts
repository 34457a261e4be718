// Guest memory accesses that the soft TLB did not answer: first touches of a page, accesses across two pages, device
// memory, faults. The value travels through SCRATCH in the CPU state.
// Device memory leaves run(); after completeMmio() the same instruction is executed again and finds its answer here.
// Stores that may be combined do not come here but for the first one to a page; the line that they have gathered goes out
// before anything else that a device could notice, an interrupt included, and the instruction is executed again.

import { VECTOR_MACHINE_CHECK } from "./bits.ts";
import type { WatchedAccesses } from "./cache-watch.ts";
import type { StoreGathering } from "./gathering.ts";
import type { Interrupts } from "./interrupts.ts";
import { LINE_BYTES, SCRATCH, STATUS, Step } from "./layout.ts";
import { Access, type RadixMmu } from "./radix.ts";
import type { RealMemory } from "./real-memory.ts";
import type { CpuState } from "./state.ts";
import type { SoftTlb } from "./tlb.ts";

/** A device access that the caller of run() is asked to make. lo/hi: the value to write, little-endian. */
export interface MmioRequest {
  gpa: number;
  size: number;
  write: boolean;
  lo: number;
  hi: number;
}

/** Device addresses must be exact JavaScript numbers. */
const ADDRESSABLE_HI = 2 ** 21;

export class MemoryAccess {
  misses = 0;
  /** Set by completeMmio(): the repeated access takes lo/hi instead of asking again. */
  answered = false;
  readonly request: MmioRequest;
  private readonly state: CpuState;
  private readonly mmu: RadixMmu;
  private readonly tlb: SoftTlb;
  private readonly interrupts: Interrupts;
  private readonly real: RealMemory;
  private readonly gathering: StoreGathering;
  /** Somebody who wants to hear of accesses. */
  private readonly watched: WatchedAccesses | undefined;
  private readonly exit: () => number;

  constructor(options: {
    state: CpuState;
    mmu: RadixMmu;
    tlb: SoftTlb;
    interrupts: Interrupts;
    real: RealMemory;
    gathering: StoreGathering;
    watched: WatchedAccesses | undefined;
    request: MmioRequest;
    exit: () => number;
  }) {
    this.state = options.state;
    this.mmu = options.mmu;
    this.tlb = options.tlb;
    this.interrupts = options.interrupts;
    this.real = options.real;
    this.gathering = options.gathering;
    this.watched = options.watched;
    this.request = options.request;
    this.exit = options.exit;
  }

  /** A load or store of 1, 2, 4 or 8 bytes at any address. Returns a Step value. */
  access(eaLo: number, eaHi: number, bytes: number, write: boolean): number {
    this.misses++;
    this.real.prepare();
    if ((eaLo & 0xfff) + bytes > 4096) return this.split(eaLo, eaHi, bytes, write);
    if (!this.translate(eaLo, eaHi, write)) return this.fault(eaLo, eaHi, write);
    // An access that was answered is done, whatever lies at its address meanwhile.
    const host = this.answered ? 0 : this.mmu.host(write);
    if (host === 0) return this.device(eaLo, eaHi, bytes, write);
    const { watched } = this;
    const direct = watched === undefined || watched.direct(write);
    if (direct) this.tlb.enterData(eaLo, eaHi, host, write);
    this.exchange(host, 0, bytes, write);
    if (!direct) watched.told(bytes, write, false);
    return Step.next;
  }

  /** Wasm address for an aligned access, or 0 with STATUS set when it faults. Device memory has no atomic accesses. */
  touch(eaLo: number, eaHi: number, bytes: number, write: boolean): number {
    this.misses++;
    this.real.prepare();
    let status: number;
    if (this.translate(eaLo, eaHi, write)) {
      const host = this.mmu.host(write);
      if (host !== 0) {
        const { watched } = this;
        if (watched === undefined || watched.direct(write)) this.tlb.enterData(eaLo, eaHi, host, write);
        else watched.told(bytes, write, true);
        return host;
      }
      status = this.misaligned(eaLo, eaHi);
    } else status = this.fault(eaLo, eaHi, write);
    this.state.i32[STATUS >> 2] = status;
    return 0;
  }

  private translate(eaLo: number, eaHi: number, write: boolean): boolean {
    return this.mmu.translate(eaLo, eaHi, write ? Access.store : Access.load);
  }

  private fault(eaLo: number, eaHi: number, write: boolean): number {
    if (this.gathering.pending) return this.gathering.leave();
    this.interrupts.data(eaLo, eaHi, this.mmu.cause, write);
    return Step.resync;
  }

  private misaligned(eaLo: number, eaHi: number): number {
    if (this.gathering.pending) return this.gathering.leave();
    this.interrupts.alignment(eaLo, eaHi);
    return Step.resync;
  }

  /** Both pages are translated before a byte moves, so that a fault leaves nothing half done. */
  private split(eaLo: number, eaHi: number, bytes: number, write: boolean): number {
    const first = 4096 - (eaLo & 0xfff);
    const nextLo = (eaLo + first) >>> 0;
    const nextHi = nextLo === 0 ? (eaHi + 1) >>> 0 : eaHi;
    if (!this.translate(eaLo, eaHi, write)) return this.fault(eaLo, eaHi, write);
    const host = this.mmu.host(write);
    if (!this.translate(nextLo, nextHi, write)) return this.fault(nextLo, nextHi, write);
    const nextHost = this.mmu.host(write);
    if (host === 0 || nextHost === 0) return this.misaligned(eaLo, eaHi);
    this.part(nextHost, first, bytes - first, write);
    // What was translated a moment ago is translated again, for whoever is told of it.
    if (this.watched !== undefined) this.translate(eaLo, eaHi, write);
    this.part(host, 0, first, write);
    return Step.next;
  }

  /** Bytes of an access that go to one page, the one that was translated last. */
  private part(host: number, offset: number, bytes: number, write: boolean): void {
    const { watched } = this;
    const direct = watched === undefined || watched.direct(write);
    this.exchange(host, offset, bytes, write);
    if (!direct) watched.told(bytes, write, false);
  }

  private exchange(host: number, offset: number, bytes: number, write: boolean): void {
    const { u8 } = this.state;
    for (let n = 0; n < bytes; n++) {
      if (write) u8[host + n] = u8[SCRATCH + offset + n]!;
      else u8[SCRATCH + offset + n] = u8[host + n]!;
    }
  }

  private device(eaLo: number, eaHi: number, bytes: number, write: boolean): number {
    const { request, state, mmu, gathering } = this;
    const at = SCRATCH >> 2;
    if (this.answered) {
      this.answered = false;
      if (!write) {
        state.u32[at] = request.lo;
        state.u32[at + 1] = request.hi;
      }
      return Step.next;
    }
    if (gathering.pending) return gathering.leave();
    if (mmu.realHi >= ADDRESSABLE_HI) {
      this.interrupts.raise(VECTOR_MACHINE_CHECK, 0);
      return Step.resync;
    }
    if (write && mmu.tolerant && (eaLo & (LINE_BYTES - 1)) + bytes <= LINE_BYTES && gathering.takes(mmu)) {
      this.tlb.enterGathering(eaLo, eaHi, mmu.realLo, mmu.realHi);
      return Step.resync;
    }
    request.gpa = mmu.realHi * 2 ** 32 + mmu.realLo;
    request.size = bytes;
    request.write = write;
    request.lo = write ? (bytes < 4 ? state.u32[at]! & (2 ** (8 * bytes) - 1) : state.u32[at]!) : 0;
    request.hi = write && bytes === 8 ? state.u32[at + 1]! : 0;
    return this.exit();
  }
}
