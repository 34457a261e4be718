// A TCE arena: the memory that TCE tables, registered regions and VM views of one kernel live in (layout.ts), and its
// allocator: blocks of powers of two, given back to a list for each size.
// Invariants: a block that is handed out is zero; pointers stay valid when the arena grows; block 0 is never handed out,
// so 0 means "none", also for a request that cannot be met.
import type { KernelFrame } from "@minivmm/host/model";
import { ARENA_MAGIC, ARENA_VERSION, HEADER } from "./layout.ts";
import { type ArenaStore, ownStore, type WasmPlace, wasmStore } from "./store.ts";

const SMALLEST_SHIFT = 2;

export class TceArena {
  /** The words; taken anew after anything that may allocate. */
  words: Uint32Array;
  /** Words handed out now. */
  used = 0;
  #store: ArenaStore;
  /** Nobody else knows the store. */
  readonly #movable: boolean;
  /** First word that was never handed out. */
  #top: number = HEADER.SIZE;
  /** Freed blocks by log2 of their words. */
  readonly #free: number[][] = Array.from({ length: 31 }, () => []);
  static readonly #arenas = new WeakMap<KernelFrame, TceArena>();

  /** `pageShift` is log2 of the host page. The store is zero from its start. */
  constructor(pageShift = 16, store?: ArenaStore) {
    this.#movable = store === undefined;
    this.#store = store ?? ownStore();
    store = this.#store;
    this.words = store.words;
    this.words[HEADER.MAGIC] = ARENA_MAGIC;
    this.words[HEADER.VERSION] = ARENA_VERSION;
    this.words[HEADER.PAGE_SHIFT] = pageShift;
  }

  /** The arena of a modelled kernel, made when first asked for. */
  static of(kernel: KernelFrame): TceArena {
    let arena = TceArena.#arenas.get(kernel);
    if (!arena) {
      arena = new TceArena(Math.log2(kernel.pageSize));
      TceArena.#arenas.set(kernel, arena);
    }
    return arena;
  }

  /** Gives a kernel an arena in a store of the caller's choice, before anything asks for it. */
  static install(kernel: KernelFrame, store: ArenaStore): TceArena {
    const arena = new TceArena(Math.log2(kernel.pageSize), store);
    TceArena.#arenas.set(kernel, arena);
    return arena;
  }

  /**
   * Where compiled code finds the words: an arena in a buffer of its own moves to a WebAssembly memory for it. Null for
   * one whose store was given and is no such memory, or when there is no memory to be had.
   */
  wasmPlace(): WasmPlace | null {
    if (this.#store.place === undefined && this.#movable) {
      const store = wasmStore();
      if (store.grow(this.words.length)) {
        store.words.set(this.words);
        this.#store = store;
        this.words = store.words;
      }
    }
    return this.#store.place ?? null;
  }

  /** Pointer to `words` zero words, or 0. */
  allocate(words: number): number {
    const shift = shiftOf(words);
    if (shift > 30) return 0;
    const size = 2 ** shift;
    const freed = (this.#free[shift] as number[]).pop();
    if (freed !== undefined) {
      this.words.fill(0, freed, freed + size);
      this.used += size;
      return freed;
    }
    const at = this.#top;
    if (at + size > this.words.length) {
      if (!this.#store.grow(at + size)) return 0;
      this.words = this.#store.words;
    }
    this.#top = at + size;
    this.used += size;
    return at;
  }

  /** Gives back what `allocate(words)` returned; 0 is nothing. */
  free(pointer: number, words: number): void {
    if (pointer === 0) return;
    const shift = shiftOf(words);
    this.used -= 2 ** shift;
    (this.#free[shift] as number[]).push(pointer);
  }
}

function shiftOf(words: number): number {
  return Math.max(Math.ceil(Math.log2(words)), SMALLEST_SHIFT);
}
