// For whoever wants to know what a data cache would hold: the engine has none, and tells somebody else which pages the guest
// loads from and stores to, and which blocks it flushes. A page is told of once; accesses that matter one by one are kept out
// of the soft TLBs, so that each of them comes by here. Nothing turns out otherwise for the guest, but for the instruction at
// which an interrupt comes.
// Source: Power ISA 3.0B Book II 4.3.2 (dcbst, dcbf), 4.6.3 (sync), Book III 5.7.10.2 (radix attributes: 0x20 and 0x30 are
// caching inhibited). dcbf with L 1 and 3 leaves caches outside of the core alone, so it says nothing about memory.
// Invariant: without somebody to tell, dcbf, dcbst and sync cost what they do in the interpreter, and no access comes by here.
import { Access, type RadixMmu } from "./radix.ts";
import { CACHE_BLOCK } from "./semantics/memory.ts";
import type { CpuState } from "./state.ts";

/** Addresses are guest real ones. Nothing here may throw or run the CPU. */
export interface CacheWatch {
  /** The guest is about to load from, or store to, a 4 KiB page through a cacheable mapping: at least before the first time. */
  using(page: number, write: boolean): void;
  /** Accesses to the page are to be told one by one. Whoever changes the answer calls Cpu.forgetTranslations(). */
  watches(page: number): boolean;
  /**
   * Such an access, and each one through a caching-inhibited mapping. `whole`: an aligned access of its size, told before it
   * is made (an atomic, dcbz); others are told when they are done.
   */
  accessed(
    address: number,
    bytes: number,
    write: boolean,
    how: { readonly cached: boolean; readonly whole: boolean },
  ): void;
  /** dcbf (it invalidates) or dcbst of the block of CACHE_BLOCK bytes at the address. */
  flushed(block: number, invalidates: boolean): void;
  /** hwsync or ptesync: what was flushed has reached memory. */
  synced(): void;
}

/** What MemoryAccess asks about each access that it makes. */
export class WatchedAccesses {
  private readonly watch: CacheWatch;
  private readonly mmu: RadixMmu;
  private readonly how = { cached: true, whole: false };

  constructor(watch: CacheWatch, mmu: RadixMmu) {
    this.watch = watch;
    this.mmu = mmu;
  }

  /** For the page that was translated last, before the access: true when it may go into a soft TLB. */
  direct(write: boolean): boolean {
    const { mmu, watch } = this;
    if (mmu.inhibited) return false;
    const page = mmu.realHi * 2 ** 20 + (mmu.realLo >>> 12);
    watch.using(page, write);
    return !watch.watches(page);
  }

  /** An access to a page that may not. The translation is still the last one. */
  told(bytes: number, write: boolean, whole: boolean): void {
    const { mmu, how } = this;
    how.cached = !mmu.inhibited;
    how.whole = whole;
    this.watch.accessed(mmu.realHi * 2 ** 32 + mmu.realLo, bytes, write, how);
  }
}

/** dcbf, dcbst and sync for somebody to hear of; the interpreter has nothing to do for them. */
export class CacheInstructions {
  private readonly watch: CacheWatch;
  private readonly state: CpuState;
  private readonly mmu: RadixMmu;

  constructor({ watch, state, mmu }: { watch: CacheWatch; state: CpuState; mmu: RadixMmu }) {
    this.watch = watch;
    this.state = state;
    this.mmu = mmu;
  }

  /** An address that cannot be translated is passed over, as it is where nobody hears of it. */
  flush(word: number, invalidates: boolean): void {
    const { state, mmu } = this;
    const everywhere = !invalidates || ((word >>> 21) & 3) === 0;
    const ra = (word >>> 16) & 31;
    const rb = (word >>> 11) & 31;
    const sum = (ra === 0 ? 0 : state.gprLo(ra)) + state.gprLo(rb);
    const hi = ((ra === 0 ? 0 : state.gprHi(ra)) + state.gprHi(rb) + (sum >= 2 ** 32 ? 1 : 0)) >>> 0;
    if (!everywhere || !mmu.translate(sum >>> 0, hi, Access.load) || mmu.host(false) === 0) return;
    const address = mmu.realHi * 2 ** 32 + mmu.realLo;
    this.watch.flushed(address - (address % CACHE_BLOCK), invalidates);
  }

  sync(word: number): void {
    const kind = (word >>> 21) & 3;
    if (kind === 0 || kind === 2) this.watch.synced();
  }
}
