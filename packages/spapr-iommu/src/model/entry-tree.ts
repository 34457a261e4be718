// The tree in which a TCE table keeps its entries: directories of pointers over leaves, made when first written
// (arena/layout.ts, HARDWARE.DEPTH and ROOT). Looking up an entry of the leaf that was used last takes no walk.
// Invariants: an entry outside the table has no leaf; after `free` none has.
import { DIRECTORY_SHIFT, HARDWARE, LEAF_ENTRIES, LEAF_SHIFT, LEAF_WORDS, type TceArena } from "./arena/index.ts";
import { shiftRight } from "./bus-address.ts";

const DIRECTORY = 1 << DIRECTORY_SHIFT;

export class EntryTree {
  readonly #arena: TceArena;
  readonly #entries: number;
  readonly #depth: number;
  /** Leaves of the whole table, and pointers in the topmost directory. */
  #leaves: number;
  readonly #topSize: number;
  /** The word that points to the tree. */
  readonly #root: number;
  #leaf = 0;
  #leafIndex = -1;

  /** The tree of the HARDWARE record at `record`, which has none yet. */
  constructor(arena: TceArena, record: number, entries: number) {
    this.#arena = arena;
    this.#entries = entries;
    this.#leaves = Math.ceil(entries / LEAF_ENTRIES);
    let depth = this.#leaves > 1 ? 1 : 0;
    let topSize = this.#leaves;
    for (; topSize > DIRECTORY; depth++) topSize = Math.ceil(topSize / DIRECTORY);
    this.#depth = depth;
    this.#topSize = topSize;
    this.#root = record + HARDWARE.ROOT;
    arena.words[record + HARDWARE.DEPTH] = depth;
  }

  /** Pointer to the leaf of an entry, or 0. */
  find(entry: number): number {
    const index = shiftRight(entry, LEAF_SHIFT);
    return index === this.#leafIndex ? this.#leaf : this.#walk(index, false);
  }

  /** As `find`, but makes the leaf; 0 when there is no room for it. */
  make(entry: number): number {
    return this.#walk(shiftRight(entry, LEAF_SHIFT), true);
  }

  /** First entry at or behind `entry` whose leaf exists; the number of entries when there is none. */
  nextPresent(entry: number): number {
    for (let index = Math.floor(entry / LEAF_ENTRIES); index < this.#leaves; ) {
      const missing = this.#missing(index);
      if (missing === 0) return Math.max(entry, index * LEAF_ENTRIES);
      index = (Math.floor(index / missing) + 1) * missing;
    }
    return this.#entries;
  }

  free(): void {
    this.#freeNode(this.#arena.words[this.#root] as number, this.#depth);
    this.#leaves = 0;
    this.#leafIndex = -1;
  }

  #walk(index: number, make: boolean): number {
    if (!(index >= 0 && index < this.#leaves)) return 0;
    const arena = this.#arena;
    let slot = this.#root;
    for (let level = this.#depth; ; level--) {
      let node = arena.words[slot] as number;
      if (node === 0) {
        if (!make) return 0;
        node = arena.allocate(this.#sizeAt(level));
        if (node === 0) return 0;
        arena.words[slot] = node;
      }
      if (level === 0) {
        this.#leaf = node;
        this.#leafIndex = index;
        return node;
      }
      slot = node + (Math.floor(index / DIRECTORY ** (level - 1)) % DIRECTORY);
    }
  }

  /** 0 when the leaf exists; else how many leaves lie below the pointer that is missing. */
  #missing(index: number): number {
    let slot = this.#root;
    for (let level = this.#depth; ; level--) {
      const node = this.#arena.words[slot] as number;
      if (node === 0) return DIRECTORY ** level;
      if (level === 0) return 0;
      slot = node + (Math.floor(index / DIRECTORY ** (level - 1)) % DIRECTORY);
    }
  }

  /** Words of a node: a leaf, the topmost directory, or a full one. */
  #sizeAt(level: number): number {
    if (level === 0) return LEAF_WORDS;
    return level === this.#depth ? this.#topSize : DIRECTORY;
  }

  #freeNode(node: number, level: number): void {
    if (node === 0) return;
    const size = this.#sizeAt(level);
    if (level > 0) {
      for (let i = 0; i < size; i++) this.#freeNode(this.#arena.words[node + i] as number, level - 1);
    }
    this.#arena.free(node, size);
  }
}
