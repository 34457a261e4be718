/** The user's bitmap of dirty pages: bits are set one by one, and lost where there is no memory. Source: iova_bitmap.c. */
import { KernelError, type UserArg } from "@minivmm/host/model";
import { IOVA_PAGE_SIZE } from "../type1/hardware.ts";

export class DirtyBitmap {
  readonly #bits: UserArg;
  readonly #base: number;
  readonly #unit: number;

  /** Bit 0 stands for `unit` bytes from `base` on. */
  constructor(bits: UserArg, base: bigint, unit: bigint) {
    this.#bits = bits;
    this.#base = Number(base / BigInt(IOVA_PAGE_SIZE));
    this.#unit = Number(unit);
  }

  /** Marks `length` bytes from an IOVA page on. */
  set(page: number, length: number): void {
    const from = (page - this.#base) * IOVA_PAGE_SIZE;
    const first = Math.floor(from / this.#unit);
    const last = Math.floor((from + length - 1) / this.#unit);
    for (let bit = first; bit <= last; bit++) this.#setBit(bit);
  }

  #setBit(bit: number): void {
    const at = Math.floor(bit / 8);
    try {
      const byte = this.#bits.copyIn(1, at);
      byte[0] = (byte[0] as number) | (1 << (bit % 8));
      this.#bits.copyOut(byte, at);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
