// Memory behind a DmaPort: one range of bus addresses is allowed, everything else is refused and counted.
import type { DmaPort } from "../../src/index.ts";

export class FakeMemory implements DmaPort {
  readonly bytes: Uint8Array;
  readonly base: number;
  readonly view: DataView;
  refused = 0;
  transfers = 0;
  /** Bus addresses inside the range that are refused all the same. */
  hole: { from: number; to: number } = { from: 0, to: 0 };

  constructor(base: number, size: number) {
    this.base = base;
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    const at = this.#offset(hi, lo, into.length);
    if (at < 0) return false;
    into.set(this.bytes.subarray(at, at + into.length));
    return true;
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    const at = this.#offset(hi, lo, from.length);
    if (at < 0) return false;
    this.bytes.set(from, at);
    return true;
  }

  #offset(hi: number, lo: number, length: number): number {
    this.transfers++;
    const address = hi * 0x1_0000_0000 + lo;
    const at = address - this.base;
    const inHole = address < this.hole.to && address + length > this.hole.from;
    if (at >= 0 && at + length <= this.bytes.length && !inHole) return at;
    this.refused++;
    return -1;
  }
}

export class IrqLog {
  level = false;
  readonly messages: { vector: number; addressHi: number; addressLo: number; data: number }[] = [];
  onMessage: (vector: number) => void = () => undefined;

  intx(level: boolean): void {
    this.level = level;
  }
  msi(vector: number, addressHi: number, addressLo: number, data: number): void {
    this.messages.push({ vector, addressHi, addressLo, data });
    this.onMessage(vector);
  }
}
