// The VGA registers behind ports 0x3b0..0x3df (IBM VGA technical reference), as state that software can set up and read
// back; those that rule the memory window at 0xa0000 take effect there (planes.ts).
// Invariants: ports are bytes; CRT controller ports answer at 0x3b4 or 0x3d4 as the miscellaneous register says, the
// others of the pair give ones.

import type { LegacyDisplay } from "../../ports.ts";
import { VgaPlanes } from "./planes.ts";

const ATTRIBUTE = 0x3c0;
const ATTRIBUTE_DATA = 0x3c1;
const MISC_WRITE = 0x3c2;
const SEQUENCER_INDEX = 0x3c4;
const SEQUENCER = 0x3c5;
const DAC_MASK = 0x3c6;
const DAC_STATE = 0x3c7;
const DAC_WRITE = 0x3c8;
const DAC_DATA = 0x3c9;
const FEATURE_READ = 0x3ca;
const MISC_READ = 0x3cc;
const GRAPHICS_INDEX = 0x3ce;
const GRAPHICS = 0x3cf;
const MISC_COLOUR = 0x01;
const STATUS_RETRACE = 0x09;
const NO_PORT = 0xff;
/** Bits that the sequencer, graphics and attribute registers have. */
const SEQUENCER_BITS = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff] as const;
const GRAPHICS_BITS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff] as const;
const ATTRIBUTE_BITS = [0xef, 0xff, 0x3f, 0x0f, 0x0f] as const;
const PALETTE_ENTRIES = 16;

export class LegacyVga implements LegacyDisplay {
  readonly #planes: VgaPlanes;
  readonly #sequencer = new Uint8Array(8);
  readonly #graphics = new Uint8Array(16);
  readonly #attribute = new Uint8Array(32);
  readonly #crt = new Uint8Array(256);
  readonly #palette = new Uint8Array(768);
  #misc = 0;
  #feature = 0;
  #sequencerIndex = 0;
  #graphicsIndex = 0;
  #attributeIndex = 0;
  /** The attribute port takes an index, then data. */
  #attributeData = false;
  #crtIndex = 0;
  #dacMask = 0;
  #dacRead = 0;
  #dacWrite = 0;
  #dacComponent = 0;
  #dacState = 0;
  #retrace = 0;

  constructor(memory: Uint8Array) {
    this.#planes = new VgaPlanes(memory, this.#sequencer, this.#graphics);
  }

  reset(): void {
    for (const bank of [this.#sequencer, this.#graphics, this.#attribute, this.#crt, this.#palette]) bank.fill(0);
    this.#planes.reset();
    this.#misc = 0;
    this.#feature = 0;
    this.#sequencerIndex = 0;
    this.#graphicsIndex = 0;
    this.#attributeIndex = 0;
    this.#attributeData = false;
    this.#crtIndex = 0;
    this.#dacMask = 0;
    this.#dacRead = 0;
    this.#dacWrite = 0;
    this.#dacComponent = 0;
    this.#dacState = 0;
    this.#retrace = 0;
  }

  /** A byte of the window, `at` counted from 0xa0000. */
  readMemory(at: number): number {
    return this.#planes.read(at);
  }

  writeMemory(at: number, value: number): void {
    this.#planes.write(at, value);
  }

  readPort(port: number): number {
    return decoded(port) ? this.readRegister(port) : NO_PORT;
  }

  writePort(port: number, value: number): void {
    if (decoded(port)) this.writeRegister(port, value);
  }

  /** As `readPort`, for a window that leads to all ports: those without a register give zero. */
  readRegister(port: number): number {
    if (this.#hidden(port)) return NO_PORT;
    switch (port) {
      case ATTRIBUTE:
        return this.#attributeData ? 0 : this.#attributeIndex;
      case ATTRIBUTE_DATA:
        return this.#attribute[this.#attributeIndex & 0x1f]!;
      case MISC_WRITE:
        return 0;
      case SEQUENCER_INDEX:
        return this.#sequencerIndex;
      case SEQUENCER:
        return this.#sequencer[this.#sequencerIndex]!;
      case DAC_MASK:
        return this.#dacMask;
      case DAC_STATE:
        return this.#dacState;
      case DAC_WRITE:
        return this.#dacWrite;
      case DAC_DATA:
        return this.#readPalette();
      case FEATURE_READ:
        return this.#feature;
      case MISC_READ:
        return this.#misc;
      case GRAPHICS_INDEX:
        return this.#graphicsIndex;
      case GRAPHICS:
        return this.#graphics[this.#graphicsIndex]!;
    }
    switch (port & 0xf) {
      case 0x4:
        return this.#crtIndex;
      case 0x5:
        return this.#crt[this.#crtIndex]!;
      case 0xa:
        // Reading the status resets the attribute port; the retrace bits come and go.
        this.#attributeData = false;
        this.#retrace ^= STATUS_RETRACE;
        return this.#retrace;
      default:
        return 0;
    }
  }

  writeRegister(port: number, value: number): void {
    if (this.#hidden(port)) return;
    switch (port) {
      case ATTRIBUTE:
        this.#writeAttribute(value);
        return;
      case MISC_WRITE:
        this.#misc = value & ~0x10;
        return;
      case SEQUENCER_INDEX:
        this.#sequencerIndex = value & 7;
        return;
      case SEQUENCER:
        this.#sequencer[this.#sequencerIndex] = value & SEQUENCER_BITS[this.#sequencerIndex]!;
        return;
      case DAC_MASK:
        this.#dacMask = value;
        return;
      case DAC_STATE:
        this.#dacRead = value;
        this.#dacComponent = 0;
        this.#dacState = 3;
        return;
      case DAC_WRITE:
        this.#dacWrite = value;
        this.#dacComponent = 0;
        this.#dacState = 0;
        return;
      case DAC_DATA:
        this.#writePalette(value);
        return;
      case GRAPHICS_INDEX:
        this.#graphicsIndex = value & 0xf;
        return;
      case GRAPHICS:
        this.#graphics[this.#graphicsIndex] = value & (GRAPHICS_BITS[this.#graphicsIndex] ?? 0);
        return;
    }
    switch (port & 0xf) {
      case 0x4:
        this.#crtIndex = value;
        break;
      case 0x5:
        // Bit 7 of register 17 protects the first eight.
        if (this.#crtIndex > 7 || !(this.#crt[0x11]! & 0x80)) this.#crt[this.#crtIndex] = value;
        break;
      case 0xa:
        this.#feature = value & 0x10;
        break;
    }
  }

  /** Of the monochrome and colour ports one set is hidden. */
  #hidden(port: number): boolean {
    if (port >= 0x3c0 && port <= 0x3cf) return false;
    const colour = (this.#misc & MISC_COLOUR) !== 0;
    return colour ? port < 0x3c0 : port >= 0x3d0;
  }

  #writeAttribute(value: number): void {
    if (!this.#attributeData) this.#attributeIndex = value & 0x3f;
    else {
      const index = this.#attributeIndex & 0x1f;
      const bits = index < PALETTE_ENTRIES ? 0x3f : (ATTRIBUTE_BITS[index - PALETTE_ENTRIES] ?? 0);
      this.#attribute[index] = value & bits;
    }
    this.#attributeData = !this.#attributeData;
  }

  #readPalette(): number {
    const value = this.#palette[this.#dacRead * 3 + this.#dacComponent]!;
    if (++this.#dacComponent === 3) {
      this.#dacComponent = 0;
      this.#dacRead = (this.#dacRead + 1) & 0xff;
    }
    return value;
  }

  #writePalette(value: number): void {
    this.#palette[this.#dacWrite * 3 + this.#dacComponent] = value;
    if (++this.#dacComponent === 3) {
      this.#dacComponent = 0;
      this.#dacWrite = (this.#dacWrite + 1) & 0xff;
    }
  }
}

/** The ports that the display takes from the bus: index, data and status of both sets, and everything from 0x3c0 on. */
function decoded(port: number): boolean {
  if (port >= 0x3c0 && port <= 0x3cf) return true;
  const low = port & 0xf;
  return low === 0x4 || low === 0x5 || low === 0xa;
}
