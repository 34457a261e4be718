// Video memory as the VGA's window shows it (IBM VGA technical reference, graphics controller and sequencer): four planes
// behind one address, alone, two by two or chained, with latches, write modes and masks in between.
// Byte n of plane p is byte 4n + p of the memory that the linear framebuffer shows.

/** Sequencer registers. */
const MAP_MASK = 2;
const MEMORY_MODE = 4;
const CHAIN_4 = 0x08;
/** Graphics controller registers. */
const SET_RESET = 0;
const ENABLE_SET_RESET = 1;
const COLOUR_COMPARE = 2;
const ROTATE = 3;
const READ_MAP = 4;
const MODE = 5;
const ODD_EVEN = 0x10;
const READ_COMPARE = 0x08;
const MISCELLANEOUS = 6;
const DONT_CARE = 7;
const BIT_MASK = 8;
const UNMAPPED = 0xff;

/** Start and size in the window of 128 KiB, by the memory map field. */
const MAPS = [
  { start: 0, size: 0x2_0000 },
  { start: 0, size: 0x1_0000 },
  { start: 0x1_0000, size: 0x8000 },
  { start: 0x1_8000, size: 0x8000 },
] as const;

export class VgaPlanes {
  readonly #memory: Uint8Array;
  readonly #sequencer: Uint8Array;
  readonly #graphics: Uint8Array;
  readonly #latches = new Uint8Array(4);

  constructor(memory: Uint8Array, sequencer: Uint8Array, graphics: Uint8Array) {
    this.#memory = memory;
    this.#sequencer = sequencer;
    this.#graphics = graphics;
  }

  reset(): void {
    this.#latches.fill(0);
  }

  /** A byte, `at` counted from 0xa0000. */
  read(at: number): number {
    const offset = this.#mapped(at);
    if (offset < 0) return UNMAPPED;
    if (this.#sequencer[MEMORY_MODE]! & CHAIN_4) return this.#memory[offset] ?? UNMAPPED;
    if (this.#graphics[MODE]! & ODD_EVEN) return this.#memory[this.#paired(offset)] ?? UNMAPPED;
    for (let plane = 0; plane < 4; plane++) this.#latches[plane] = this.#memory[offset * 4 + plane] ?? 0;
    if (!(this.#graphics[MODE]! & READ_COMPARE)) return this.#latches[this.#graphics[READ_MAP]! & 3]!;
    let differs = 0;
    for (let plane = 0; plane < 4; plane++) {
      if (!(this.#graphics[DONT_CARE]! & (1 << plane))) continue;
      differs |= this.#latches[plane]! ^ (this.#graphics[COLOUR_COMPARE]! & (1 << plane) ? 0xff : 0);
    }
    return ~differs & 0xff;
  }

  write(at: number, value: number): void {
    const offset = this.#mapped(at);
    if (offset < 0) return;
    const map = this.#sequencer[MAP_MASK]!;
    if (this.#sequencer[MEMORY_MODE]! & CHAIN_4) {
      if (map & (1 << (offset & 3))) this.#store(offset, value);
    } else if (this.#graphics[MODE]! & ODD_EVEN) {
      const byte = this.#paired(offset);
      if (map & (1 << (byte & 3))) this.#store(byte, value);
    } else {
      for (let plane = 0; plane < 4; plane++) {
        if (map & (1 << plane)) this.#store(offset * 4 + plane, this.#combine(plane, value));
      }
    }
  }

  /** What a plane gets of a byte that is written, by write mode. */
  #combine(plane: number, value: number): number {
    const graphics = this.#graphics;
    const rotate = graphics[ROTATE]! & 7;
    const rotated = ((value >> rotate) | (value << (8 - rotate))) & 0xff;
    const latch = this.#latches[plane]!;
    const solid = (bits: number): number => (bits & (1 << plane) ? 0xff : 0);
    switch (graphics[MODE]! & 3) {
      case 1:
        return latch;
      case 2:
        return this.#logic(solid(value), latch, graphics[BIT_MASK]!);
      case 3:
        return this.#logic(solid(graphics[SET_RESET]!), latch, graphics[BIT_MASK]! & rotated);
      default: {
        const set = graphics[ENABLE_SET_RESET]! & (1 << plane) ? solid(graphics[SET_RESET]!) : rotated;
        return this.#logic(set, latch, graphics[BIT_MASK]!);
      }
    }
  }

  /** Combined with the latch, where the mask allows it; the latch elsewhere. */
  #logic(value: number, latch: number, mask: number): number {
    const operation = (this.#graphics[ROTATE]! >> 3) & 3;
    const combined = [value, value & latch, value | latch, value ^ latch][operation]!;
    return (combined & mask) | (latch & ~mask & 0xff);
  }

  /** Even addresses to one plane of a pair, odd ones to the other. */
  #paired(offset: number): number {
    const plane = (this.#graphics[READ_MAP]! & 2) | (offset & 1);
    return (offset & ~1) * 2 + plane;
  }

  #store(at: number, value: number): void {
    if (at < this.#memory.length) this.#memory[at] = value;
  }

  #mapped(at: number): number {
    const { start, size } = MAPS[(this.#graphics[MISCELLANEOUS]! >> 2) & 3]!;
    return at >= start && at < start + size ? at - start : -1;
  }
}
