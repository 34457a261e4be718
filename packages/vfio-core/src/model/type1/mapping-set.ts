/**
 * The mappings of a container in ascending order (the kernel's red-black tree dma_list).
 *
 * A list of leaves of at most 512 mappings, so that adding and removing stays cheap with all 65,535 that a container may
 * have. Invariants: mappings do not overlap, no leaf is empty. Lookups allocate nothing.
 */
import type { DmaMapping } from "./mapping.ts";

const LEAF_MAX = 512;

export class MappingSet {
  readonly #leaves: DmaMapping[][] = [];
  /** An empty leaf for the next one. */
  #spare: DmaMapping[] | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The lowest mapping that overlaps [start, end), or null. */
  overlap(start: number, end: number): DmaMapping | null {
    const leaf = this.#leaves[this.#leafFor(start)];
    if (!leaf) return null;
    const mapping = leaf[indexFor(leaf, start)] as DmaMapping;
    return mapping.start < end ? mapping : null;
  }

  /** All that overlap [start, end), ascending. */
  overlapping(start: number, end: number): DmaMapping[] {
    const found: DmaMapping[] = [];
    for (let i = this.#leafFor(start); i < this.#leaves.length; i++) {
      const leaf = this.#leaves[i] as DmaMapping[];
      for (let at = indexFor(leaf, start); at < leaf.length; at++) {
        const mapping = leaf[at] as DmaMapping;
        if (mapping.start >= end) return found;
        found.push(mapping);
      }
    }
    return found;
  }

  /** Does [start, end) start or end strictly inside a mapping? */
  cuts(start: number, end: number): boolean {
    const atStart = this.overlap(start, start + 1);
    if (atStart && atStart.start !== start) return true;
    const atEnd = this.overlap(end - 1, end);
    return atEnd !== null && atEnd.end !== end;
  }

  all(): DmaMapping[] {
    return this.#leaves.flat();
  }

  /** The range of `mapping` must be free. */
  add(mapping: DmaMapping): void {
    this.#size++;
    const count = this.#leaves.length;
    if (count === 0) {
      const empty = this.#spare ?? [];
      this.#spare = null;
      empty.push(mapping);
      this.#leaves.push(empty);
      return;
    }
    const which = Math.min(this.#leafFor(mapping.start), count - 1);
    const leaf = this.#leaves[which] as DmaMapping[];
    const at = indexFor(leaf, mapping.start);
    // push and pop leave nothing behind, unlike splice.
    if (at === leaf.length) leaf.push(mapping);
    else leaf.splice(at, 0, mapping);
    if (leaf.length > LEAF_MAX) this.#leaves.splice(which + 1, 0, leaf.splice(LEAF_MAX / 2));
  }

  remove(mapping: DmaMapping): void {
    const which = this.#leafFor(mapping.start);
    const leaf = this.#leaves[which] as DmaMapping[];
    if (leaf[leaf.length - 1] === mapping) leaf.pop();
    else leaf.splice(indexFor(leaf, mapping.start), 1);
    this.#size--;
    if (leaf.length > 0) return;
    this.#spare = leaf;
    if (which === this.#leaves.length - 1) this.#leaves.pop();
    else this.#leaves.splice(which, 1);
  }

  /** The first leaf with a mapping that ends behind `page`; the number of leaves if there is none. */
  #leafFor(page: number): number {
    let low = 0;
    let high = this.#leaves.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const leaf = this.#leaves[middle] as DmaMapping[];
      if ((leaf[leaf.length - 1] as DmaMapping).end > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** The first mapping of a leaf that ends behind `page`. */
function indexFor(leaf: readonly DmaMapping[], page: number): number {
  let low = 0;
  let high = leaf.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((leaf[middle] as DmaMapping).end > page) high = middle;
    else low = middle + 1;
  }
  return low;
}
