/** The user's bitmap of dirty pages: bits are added to what is there, and lost where there is no memory. Source: iova_bitmap.c. */
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
    const start = (page - this.#base) * IOVA_PAGE_SIZE;
    const first = Math.floor(start / this.#unit);
    const last = Math.floor((start + length - 1) / this.#unit);
    for (let at = Math.floor(first / 8); at <= Math.floor(last / 8); at++) {
      const from = Math.max(first - 8 * at, 0);
      const to = Math.min(last - 8 * at, 7);
      this.#add(at, (0xff << from) & (0xff >> (7 - to)));
    }
  }

  #add(at: number, bits: number): void {
    try {
      const byte = this.#bits.copyIn(1, at);
      byte[0] = (byte[0] as number) | bits;
      this.#bits.copyOut(byte, at);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
