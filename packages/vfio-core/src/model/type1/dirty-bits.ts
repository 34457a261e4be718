/**
 * The dirty bitmap of one mapping, with the kernel's habits: reporting shifts the bitmap to the mapping's place in the
 * user's, takes in the whole user word that it shares, and clears only the mapping's own bits afterwards. What was taken
 * in stays and shows in later reports with another base. Source: update_user_bitmap, vfio_iova_dirty_bitmap.
 */
import type { UserArg } from "@minivmm/host/model";

const BITS = 64;

/** A mapping with more pages cannot be tracked (DIRTY_BITMAP_PAGES_MAX, INT_MAX). */
export const DIRTY_PAGES_MAX = 0x7fff_ffff;
/** Bytes of the largest bitmap (DIRTY_BITMAP_SIZE_MAX). */
export const DIRTY_BITMAP_SIZE_MAX = 0x1000_0000;

/** Bytes of a bitmap of whole 64-bit words. */
export function dirtyBitmapBytes(pages: number): number {
  return Math.ceil(pages / BITS) * 8;
}

export class DirtyBits {
  readonly #pages: number;
  #words: BigUint64Array | null = null;

  /** `pages` of the tracking granularity. */
  constructor(pages: number) {
    this.#pages = pages;
  }

  /**
   * Writes the mapping's bits to the user's bitmap at `address`, `offset` pages behind its first bit. Throws KernelError
   * EFAULT.
   */
  report(arg: UserArg, address: bigint, offset: number, allDirty: boolean): void {
    const words = this.#storage();
    if (allDirty) setFirst(words, this.#pages);
    const shift = offset % BITS;
    const at = arg.at(address + BigInt((offset - shift) / 8));
    const used = Math.ceil((this.#pages + shift) / BITS);
    if (shift > 0) {
      shiftLeft(words, shift, used);
      const shared = new DataView(at.copyIn(8).buffer).getBigUint64(0, true);
      words[0] = (words[0] as bigint) | shared;
    }
    at.copyOut(new Uint8Array(words.buffer, 0, used * 8));
  }

  /** The mapping's own bits become clean. */
  clear(): void {
    const words = this.#storage();
    const whole = Math.floor(this.#pages / BITS);
    words.fill(0n, 0, whole);
    const rest = BigInt(this.#pages % BITS);
    words[whole] = ((words[whole] as bigint) >> rest) << rest;
  }

  #storage(): BigUint64Array {
    this.#words ??= new BigUint64Array(Math.ceil(this.#pages / BITS) + 1);
    return this.#words;
  }
}

function setFirst(words: BigUint64Array, bits: number): void {
  const whole = Math.floor(bits / BITS);
  words.fill(0xffff_ffff_ffff_ffffn, 0, whole);
  words[whole] = (words[whole] as bigint) | ((1n << BigInt(bits % BITS)) - 1n);
}

/** Of the first `used` words; `shift` is below 64. */
function shiftLeft(words: BigUint64Array, shift: number, used: number): void {
  const up = BigInt(shift);
  const down = BigInt(BITS - shift);
  for (let k = used - 1; k >= 0; k--) {
    const lower = k > 0 ? (words[k - 1] as bigint) >> down : 0n;
    words[k] = ((words[k] as bigint) << up) | lower;
  }
}
