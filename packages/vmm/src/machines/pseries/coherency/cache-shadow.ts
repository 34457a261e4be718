// What memory would hold behind a data cache, while the CPU works on RAM itself: for a device that does not snoop reads and
// writes memory, and the CPU does not. The cache that is thought of here writes back, never gives a block up by itself, and
// never loads one that was not asked for; so what is found is what goes wrong on a machine where nothing happens by luck.
// Definitions, for a block of 128 bytes:
//   unflushed: the CPU stored to its page through a cacheable mapping, and its bytes are not those that memory had when the
//     block was flushed last (dcbf or dcbst, and then hwsync). A store of the bytes that are there already makes no difference.
//   cached: the CPU used its page through a cacheable mapping, and it was not invalidated (dcbf) since, or was used after that.
//   stale: it was cached when a device wrote it without snooping, and has not been invalidated since.
// Source: Power ISA 3.0B Book II 1.6 (storage control attributes), 4.3.2, 4.6.3.
// Invariants: pages cost a copy once the CPU has stored to them; RAM itself is never changed here. DMA that snoops
// reaches both; what the platform writes for the guest (RTAS answers) counts as the CPU's. Before its first use of a page cache
// and memory agree.
import type { GuestMemory } from "@minivmm/host";
import { CACHE_BLOCK, type CacheWatch } from "@minivmm/ppc64";

const PAGE = 4096;
const PAGE_BLOCKS = PAGE / CACHE_BLOCK;

/** Blocks of a page, a bit each. */
interface PageBlocks {
  /** Known not to be in the cache. */
  absent: number;
  stale: number;
}

/** What DMA that does not snoop would find. */
export interface Unflushed {
  readonly blocks: number;
  /** Of those blocks that are not in memory as the CPU has them. */
  readonly written: number;
  /** Of those, how many were flushed without a hwsync after it. */
  readonly unsynced: number;
}

export class CacheShadow implements CacheWatch {
  private ram: GuestMemory | undefined;
  private forget: () => void = () => undefined;
  private loadedStale: (address: number, write: boolean) => void = () => undefined;
  /** Pages that the CPU has used through a cacheable mapping. */
  private readonly used = new Set<number>();
  /** What memory holds, of pages that it has stored to. */
  private readonly memory = new Map<number, Uint8Array>();
  /** Blocks on their way to memory. */
  private readonly flushing = new Map<number, Uint8Array>();
  /** Pages whose accesses matter one by one. */
  private readonly single = new Map<number, PageBlocks>();

  /** `forget`: empties the CPU's TLBs; `loadedStale`: the CPU uses a block that is stale. Called once, before the guest runs. */
  attach(ram: GuestMemory, forget: () => void, loadedStale: (address: number, write: boolean) => void): void {
    this.ram = ram;
    this.forget = forget;
    this.loadedStale = loadedStale;
  }

  using(page: number, write: boolean): void {
    this.used.add(page);
    if (!write || this.memory.has(page)) return;
    const bytes = this.ram?.slice(page * PAGE, PAGE);
    // A copy: the bytes themselves are about to change.
    if (bytes) this.memory.set(page, new Uint8Array(bytes));
  }

  watches(page: number): boolean {
    return this.single.has(page);
  }

  accessed(address: number, bytes: number, write: boolean, how: { cached: boolean; whole: boolean }): void {
    if (!how.cached) {
      // One that is told before it is made (an atomic) is left as if it had gone to the cache.
      if (write && !how.whole) this.toMemory(address, bytes);
      return;
    }
    const page = Math.floor(address / PAGE);
    const blocks = this.single.get(page);
    if (blocks === undefined) return;
    const touched = blocksOf(address % PAGE, bytes);
    // A block that is written whole is not looked at first.
    const looked = how.whole && write && bytes === CACHE_BLOCK ? 0 : blocks.stale & touched;
    blocks.stale &= ~touched;
    blocks.absent &= ~touched;
    if ((blocks.stale | blocks.absent) === 0) this.single.delete(page);
    if (looked !== 0) this.loadedStale(address, write);
  }

  flushed(block: number, invalidates: boolean): void {
    const page = Math.floor(block / PAGE);
    const bytes = this.memory.has(page) ? this.ram?.slice(block, CACHE_BLOCK) : null;
    if (bytes) this.flushing.set(block, new Uint8Array(bytes));
    if (!invalidates) return;
    const blocks = this.blocksOf(page);
    const bit = blocksOf(block % PAGE, 1);
    blocks.absent |= bit;
    blocks.stale &= ~bit;
  }

  synced(): void {
    for (const [block, bytes] of this.flushing) this.memory.get(Math.floor(block / PAGE))?.set(bytes, block % PAGE);
    this.flushing.clear();
  }

  /** Of the blocks that [address, address + length) touches. */
  unflushed(address: number, length: number): Unflushed {
    let [blocks, written, unsynced] = [0, 0, 0];
    for (let block = address - (address % CACHE_BLOCK); block < address + length; block += CACHE_BLOCK) {
      blocks++;
      const now = this.ram?.slice(block, CACHE_BLOCK);
      const memory = this.memory.get(Math.floor(block / PAGE));
      if (!now || memory === undefined || same(now, memory, block % PAGE)) continue;
      written++;
      const flushing = this.flushing.get(block);
      if (flushing !== undefined && same(now, flushing, 0)) unsynced++;
    }
    return { blocks, written, unsynced };
  }

  /** A device, or the platform, has written and looked into the caches: the blocks are in memory and in no cache. */
  snooped(address: number, length: number): void {
    const first = address - (address % CACHE_BLOCK);
    const end = Math.ceil((address + length) / CACHE_BLOCK) * CACHE_BLOCK;
    this.toMemory(first, end - first);
    for (let block = first; block < end; block += CACHE_BLOCK) {
      this.flushing.delete(block);
      const page = Math.floor(block / PAGE);
      const blocks = this.single.get(page);
      if (blocks !== undefined) blocks.stale &= ~blocksOf(block % PAGE, 1);
    }
  }

  /** A device has written memory and left the caches as they are. */
  bypassed(address: number, length: number): void {
    this.toMemory(address, length);
    // What is on its way there has been there: it comes out as if it had arrived first.
    for (let block = address - (address % CACHE_BLOCK); block < address + length; block += CACHE_BLOCK) {
      const from = Math.max(block, address);
      const bytes = this.ram?.slice(from, Math.min(block + CACHE_BLOCK, address + length) - from);
      if (bytes) this.flushing.get(block)?.set(bytes, from - block);
    }
    for (let at = address; at < address + length; ) {
      const page = Math.floor(at / PAGE);
      const chunk = Math.min(address + length - at, PAGE - (at % PAGE));
      if (this.used.has(page)) {
        const blocks = this.blocksOf(page);
        blocks.stale |= blocksOf(at % PAGE, chunk) & ~blocks.absent;
        if ((blocks.stale | blocks.absent) === 0) this.single.delete(page);
      }
      at += chunk;
    }
  }

  /** From now on accesses to the page come one by one. */
  private blocksOf(page: number): PageBlocks {
    let blocks = this.single.get(page);
    if (blocks === undefined) {
      blocks = { absent: 0, stale: 0 };
      this.single.set(page, blocks);
      this.forget();
    }
    return blocks;
  }

  /** Memory gets the bytes that RAM has. */
  private toMemory(address: number, length: number): void {
    for (let at = address; at < address + length; ) {
      const chunk = Math.min(address + length - at, PAGE - (at % PAGE));
      const memory = this.memory.get(Math.floor(at / PAGE));
      const bytes = memory === undefined ? null : this.ram?.slice(at, chunk);
      if (bytes) memory?.set(bytes, at % PAGE);
      at += chunk;
    }
  }
}

/** Blocks that `length` bytes from `offset` on touch, as far as they are in this page. */
function blocksOf(offset: number, length: number): number {
  const first = Math.floor(offset / CACHE_BLOCK);
  const last = Math.min(Math.floor((offset + length - 1) / CACHE_BLOCK), PAGE_BLOCKS - 1);
  return ((2 ** (last - first + 1) - 1) * 2 ** first) | 0;
}

function same(bytes: Uint8Array, others: Uint8Array, at: number): boolean {
  for (let n = 0; n < CACHE_BLOCK; n++) if (bytes[n] !== others[at + n]) return false;
  return true;
}
