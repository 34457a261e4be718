// A range mapped by the real kernel. Its bytes are a view that does not own the memory: after close() they would
// reach into nothing, so the object lets go of them.

import type { AccessWidth, Mapping } from "../host.ts";
import { MappedBytes } from "../mapping.ts";
import type { Libc } from "./libc.ts";

const NOTHING = new MappedBytes(new Uint8Array(0));

export class RealMapping implements Mapping {
  readonly address: bigint;
  readonly length: number;
  readonly #libc: Libc;
  readonly #onClose: (mapping: RealMapping) => void;
  #memory: MappedBytes;
  #open = true;

  /** `length` is at most 4 GiB: koffi aborts the process for a longer view. */
  constructor(libc: Libc, address: bigint, length: number, onClose: (mapping: RealMapping) => void) {
    this.address = address;
    this.length = length;
    this.#libc = libc;
    this.#onClose = onClose;
    this.#memory = new MappedBytes(new Uint8Array(libc.koffi.view(address, length)));
  }

  get bytes(): Uint8Array {
    return this.#memory.u8;
  }

  load(offset: number, width: AccessWidth): number {
    return this.#memory.load(offset, width);
  }

  store(offset: number, width: AccessWidth, value: number): void {
    this.#memory.store(offset, width, value);
  }

  close(): number {
    if (!this.#open) return 0;
    this.#open = false;
    this.#memory = NOTHING;
    this.#onClose(this);
    return this.#libc.munmap(this.address, this.length);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
