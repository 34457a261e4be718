// The TCE tables that a case has made, and what its guest put into them: which memory a transfer was meant for.

export interface MadeTable {
  readonly liobn: bigint;
  readonly pageShift: number;
  readonly fd: number;
}

export class MadeTables {
  readonly #tables: MadeTable[] = [];

  add(table: MadeTable): void {
    this.#tables.push(table);
  }

  /** The table that the recorder kept mapped: the one made last. */
  get latestFd(): number {
    return this.#tables.at(-1)?.fd ?? -1;
  }

  pageShift(liobn: bigint): number {
    return this.#tables.findLast((table) => table.liobn === liobn)?.pageShift ?? 12;
  }
}
