// Growing little-endian byte image with labels: what lies under the assembler. Addresses are plain numbers (< 2^53).

import { Ppc64Error } from "../error.ts";

export class Image {
  readonly origin: number;
  private store = new Uint8Array(1024);
  private used = 0;
  private readonly symbols = new Map<string, number>();

  constructor(origin: number) {
    this.origin = origin;
  }

  /** Address of the next byte. */
  get here(): number {
    return this.origin + this.used;
  }

  get size(): number {
    return this.used;
  }

  /** Names an address. @throws Ppc64Error ASM_LABEL when the name is taken. */
  define(name: string, address: number): void {
    if (this.symbols.has(name)) {
      throw new Ppc64Error(`label "${name}" is defined twice`, { code: "ASM_LABEL", details: { name } });
    }
    this.symbols.set(name, address);
  }

  /** Address of a label. @throws Ppc64Error ASM_LABEL when it was never defined. */
  addressOf(name: string): number {
    const address = this.symbols.get(name);
    if (address === undefined) {
      throw new Ppc64Error(`label "${name}" is not defined`, {
        code: "ASM_LABEL",
        details: { name },
        hint: "place it with label() or give its address with define()",
      });
    }
    return address;
  }

  get labels(): ReadonlyMap<string, number> {
    return this.symbols;
  }

  /** Appends bytes, returns the offset where they start. */
  append(bytes: ArrayLike<number>): number {
    const at = this.used;
    this.reserve(bytes.length);
    this.store.set(bytes, at);
    return at;
  }

  /** Appends zeroes (or `fill`). */
  space(length: number, fill = 0): number {
    const at = this.used;
    this.reserve(length);
    this.store.fill(fill, at, at + length);
    return at;
  }

  word(offset: number): number {
    return new DataView(this.store.buffer).getUint32(offset, true);
  }

  setWord(offset: number, value: number): void {
    new DataView(this.store.buffer).setUint32(offset, value >>> 0, true);
  }

  setDoubleword(offset: number, value: bigint): void {
    new DataView(this.store.buffer).setBigUint64(offset, BigInt.asUintN(64, value), true);
  }

  bytes(): Uint8Array {
    return this.store.slice(0, this.used);
  }

  private reserve(length: number): void {
    const need = this.used + length;
    if (need > this.store.length) {
      const larger = new Uint8Array(Math.max(need, this.store.length * 2));
      larger.set(this.store);
      this.store = larger;
    }
    this.used = need;
  }
}
