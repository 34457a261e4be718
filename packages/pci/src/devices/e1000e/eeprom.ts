// The NVM of an 82574L (datasheet chapter 6) as the controller reads it at power-on and software through EERD: 64 words
// with the Ethernet address first and, last, the word that makes their sum 0xbaba.
// EERD takes a word's number in bits 2..15 and a start bit, and answers at once: data in the upper half, done in bit 1.

const WORDS = 64;
const CHECKSUM_AT = 63;
const CHECKSUM = 0xbaba;
const START = 1;
const DONE = 2;

/** Words after the address that matter to drivers: ids, power-up defaults, LEDs, PBA number, interrupt moderation. */
const DEFAULTS: ReadonlyMap<number, number> = new Map([
  [0x03, 0x0420],
  [0x04, 0xf746],
  [0x05, 0x2010],
  [0x06, 0xffff],
  [0x07, 0xffff],
  [0x0a, 0x026b],
  [0x0b, 0x0000],
  [0x0c, 0x8086],
  [0x0d, 0x10d3],
  [0x0e, 0x8086],
  [0x0f, 0x0000],
  [0x1b, 0x058c],
  [0x1e, 0x8086],
  [0x20, 0x0b46],
]);

export class Eeprom {
  readonly words = new Uint16Array(WORDS);

  constructor(address: Uint8Array) {
    for (const [at, value] of DEFAULTS) this.words[at] = value;
    for (let n = 0; n < 3; n++) this.words[n] = address[n * 2]! | (address[n * 2 + 1]! << 8);
    let sum = 0;
    for (let n = 0; n < CHECKSUM_AT; n++) sum += this.words[n]!;
    this.words[CHECKSUM_AT] = CHECKSUM - sum;
  }

  /** What EERD reads after `command` was written; a word that is not there reads as ones. */
  access(command: number): number {
    const at = (command >>> 2) & 0x3fff;
    if (!(command & START)) return ((at << 2) | DONE) >>> 0;
    const data = this.words[at] ?? 0xffff;
    return ((data << 16) | (at << 2) | DONE) >>> 0;
  }
}
