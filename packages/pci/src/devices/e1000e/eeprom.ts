// The NVM of an 82574L (datasheet chapter 6) as the controller reads it at power-on and software through EERD: 64 words
// with the Ethernet address first and, last, the word that makes their sum 0xbaba.
// EERD takes a word's number in bits 2..15 and a start bit, and answers at once: data in the upper half, done in bit 1.

const WORDS = 64;
const CHECKSUM_AT = 63;
const CHECKSUM = 0xbaba;
const START = 1;
const DONE = 2;
const UNUSED = 0xffff;

/** Word by word what a driver or the controller reads there. */
const CONTENTS: ReadonlyMap<number, number> = new Map([
  [0x03, 0x0420], // compatibility
  [0x04, 0xf746], // port identification LED
  [0x05, 0x2010], // image version
  [0x06, UNUSED],
  [0x07, UNUSED],
  [0x0a, 0x026b], // initialization control 1
  [0x0b, 0x10d3], // subsystem id
  [0x0c, 0x8086], // subsystem vendor id
  [0x0d, 0x10d3], // device id
  [0x0f, 0x8058], // initialization control 2
  [0x11, 0x2001], // management
  [0x12, 0x7e7c], // NVM size and protection
  [0x13, UNUSED],
  [0x14, 0x1000], // extended configuration
  [0x15, 0x00c8],
  [0x17, 0x2704], // firmware
  [0x18, 0x6cc9], // PCIe initialization 1
  [0x19, 0x3150], // PCIe initialization 2
  [0x1a, 0x070e], // PCIe initialization 3
  [0x1b, 0x460b], // PCIe control
  [0x1c, 0x2d84], // LED 1 and power consumption
  [0x1d, 0x0100], // device revision
  [0x1e, 0xf000],
  [0x1f, 0x0706], // LED 0 and 2
  [0x20, 0x6000], // functions control
  [0x21, 0x0080], // flash parameters
  [0x22, 0x0f04], // LAN power consumption
  [0x23, 0x7fff],
  [0x24, 0x4f01], // initialization control 3
  [0x25, 0xc600],
  [0x27, 0x20ff],
  [0x28, 0x0028],
  [0x29, 0x0003],
  [0x2d, 0x0003],
  [0x2f, UNUSED],
  [0x30, 0x0100], // boot agent setup
  [0x31, 0xc000], // boot agent custom setup
  [0x32, 0x121c], // boot agent version
  [0x33, 0xc007], // boot agent capabilities
  [0x34, UNUSED],
  [0x35, UNUSED],
  [0x36, UNUSED],
  [0x37, UNUSED],
  [0x38, UNUSED],
  [0x39, UNUSED],
  [0x3a, UNUSED],
  [0x3b, UNUSED],
  [0x3d, 0x0120],
  [0x3e, UNUSED],
]);

export class Eeprom {
  readonly words = new Uint16Array(WORDS);

  constructor(address: Uint8Array) {
    for (const [at, value] of CONTENTS) this.words[at] = value;
    for (let n = 0; n < 3; n++) this.words[n] = address[n * 2]! | (address[n * 2 + 1]! << 8);
    let sum = 0;
    for (let n = 0; n < CHECKSUM_AT; n++) sum += this.words[n]!;
    this.words[CHECKSUM_AT] = CHECKSUM - sum;
  }

  /** What EERD reads after `command` was written; a word that is not there is never done. */
  access(command: number): number {
    const at = (command >>> 2) & 0x3fff;
    const data = this.words[at];
    if (!(command & START) || data === undefined) return at << 2;
    return ((data << 16) | (at << 2) | DONE) >>> 0;
  }
}
