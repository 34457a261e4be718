// 64-bit numbers below 2^53 as two words, low then high. No allocation.

const TWO_32 = 0x1_0000_0000;

export function readNumber(words: Uint32Array, at: number): number {
  return (words[at + 1] as number) * TWO_32 + (words[at] as number);
}

export function writeNumber(words: Uint32Array, at: number, value: number): void {
  // Storing takes the number modulo 2^32.
  words[at] = value;
  words[at + 1] = Math.floor(value / TWO_32);
}
