// Counters and the error list that log pages show (NVM Express 1.4 section 5.14.1). They survive a controller reset.

export const ERROR_LOG_ENTRIES = 4;

export interface ErrorEntry {
  readonly number: number;
  readonly sqid: number;
  readonly cid: number;
  readonly status: number;
  readonly lba: number;
  readonly nsid: number;
}

export class Statistics {
  bytesRead = 0;
  bytesWritten = 0;
  readCommands = 0;
  writeCommands = 0;
  errors = 0;
  readonly #recent: ErrorEntry[] = [];

  /** Note a failed command, newest first. */
  failed(sqid: number, cid: number, status: number, lba: number, nsid: number): void {
    this.errors++;
    this.#recent.unshift({ number: this.errors, sqid, cid, status, lba, nsid });
    if (this.#recent.length > ERROR_LOG_ENTRIES) this.#recent.pop();
  }

  get recent(): readonly ErrorEntry[] {
    return this.#recent;
  }
}
