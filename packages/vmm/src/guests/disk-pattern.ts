// The disk contents that the guest programs expect and write: 64-bit little-endian words computed from their index, so
// that a wrong block, a shifted request or a stale page is seen at once. Host and guest compute the same words.

export interface DiskPattern {
  /** Word i is (i * multiplier) xor `xor`, modulo 2^64; i counts from the start of the disk area. */
  readonly multiplier: bigint;
  readonly xor: bigint;
}

/** What the guest expects to read. */
export const READ_PATTERN: DiskPattern = { multiplier: 0x9e3779b97f4a7c15n, xor: 0n };
/** What the guest writes behind it and reads back. */
export const WRITE_PATTERN: DiskPattern = { multiplier: 0xc2b2ae3d27d4eb4fn, xor: 0xa5a5a5a55a5a5a5an };

/** Bytes of a pattern from its word `first` on, by default from the start; `bytes` is a multiple of 8. */
export function diskPattern(bytes: number, pattern: DiskPattern = READ_PATTERN, first = 0): Uint8Array {
  const words = new BigUint64Array(bytes / 8);
  let value = BigInt.asUintN(64, BigInt(first) * pattern.multiplier);
  for (let i = 0; i < words.length; i++) {
    words[i] = value ^ pattern.xor;
    value = BigInt.asUintN(64, value + pattern.multiplier);
  }
  return new Uint8Array(words.buffer);
}
