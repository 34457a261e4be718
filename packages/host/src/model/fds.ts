// The descriptor table of a process (files_struct). Invariants: a new descriptor is the lowest free number, numbers
// stay below RLIMIT_NOFILE (checked when one is handed out, not afterwards), and each holds one reference.

import { EBADF, EMFILE } from "../errno.ts";
import type { Reference } from "./reference.ts";

export class FdTable<F extends Reference> {
  readonly #files: (F | undefined)[] = [];
  readonly #limit: () => number;
  /** No free number lies below this one. */
  #lowest = 0;

  /** `limit` is the number of descriptors allowed at this moment. */
  constructor(limit: () => number = () => Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  get(fd: number): F | undefined {
    return this.#files[fd];
  }

  /** The number that the next file gets, or -EMFILE. */
  next(): number {
    let fd = this.#lowest;
    while (this.#files[fd]) fd++;
    this.#lowest = fd;
    return fd < this.#limit() ? fd : -EMFILE;
  }

  /** Takes over the caller's reference and returns the descriptor; or -EMFILE, and the caller keeps the reference. */
  install(file: F): number {
    const fd = this.next();
    if (fd < 0) return fd;
    this.#files[fd] = file;
    this.#lowest = fd + 1;
    return fd;
  }

  /** Puts a file at a free number, taking over the caller's reference. */
  set(fd: number, file: F): void {
    this.#files[fd] = file;
  }

  /** A second descriptor of the same open file. */
  dup(fd: number): number {
    const file = this.get(fd);
    if (!file) return -EBADF;
    const copy = this.install(file.get());
    if (copy < 0) file.put();
    return copy;
  }

  close(fd: number): number {
    const file = this.get(fd);
    if (!file) return -EBADF;
    this.#files[fd] = undefined;
    this.#lowest = Math.min(this.#lowest, fd);
    file.put();
    return 0;
  }

  /** Open descriptors in ascending order. */
  list(): number[] {
    return this.#files.flatMap((file, fd) => (file ? [fd] : []));
  }
}
