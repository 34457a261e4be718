// The list of H_PUT_TCE_INDIRECT in guest memory: 64-bit big-endian TCEs, read one by one (get_user).
// A list begins at a multiple of 4 KiB and has at most 512 entries, so it lies in one host page and one memory area.
// Nothing allocates while lists stay in one buffer.
import { PROT_READ } from "@minivmm/host";
import type { AddressSpace } from "@minivmm/host/model";

export class TceList {
  /** The entry that was read last. */
  hi = 0;
  lo = 0;
  readonly #mm: AddressSpace;
  #buffer: ArrayBufferLike | null = null;
  #bytes = 0;
  #words: Uint32Array = new Uint32Array(0);
  /** First word of the list; -1 where it cannot be read. */
  #at = -1;

  constructor(mm: AddressSpace) {
    this.#mm = mm;
  }

  /** The list at a user address, from now on. */
  open(user: number): void {
    this.#at = -1;
    const area = this.#mm.areaAt(user);
    const buffer = area?.backing.buffer;
    if (!area || !buffer || (area.prot & PROT_READ) === 0) return;
    if (buffer !== this.#buffer || buffer.byteLength !== this.#bytes) {
      this.#buffer = buffer;
      this.#bytes = buffer.byteLength;
      this.#words = new Uint32Array(buffer, 0, Math.floor(this.#bytes / 4));
    }
    this.#at = (area.offset + (user - area.start)) / 4;
  }

  /** Reads entry `index`: false when that is not memory. */
  read(index: number): boolean {
    const at = this.#at + index * 2;
    if (this.#at < 0 || at + 1 >= this.#words.length) return false;
    this.hi = swap(this.#words[at] as number);
    this.lo = swap(this.#words[at + 1] as number);
    return true;
  }
}

function swap(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
