// The configuration space of one function as hardware keeps it: a byte store with, per bit, whether software may
// write it, whether writing one clears it (RW1C), its power-on value, and which resets it survives.
// Source: PCI Local Bus 3.0 section 6.1; PCI Express Base 4.0 sections 7.4 and 6.6.2.
// Invariants: reads outside the space give ones and writes outside it vanish, as on a bus; `define` describes a
// register (and its power-on value), `poke` is the device changing its own register, `write` is software.
// Bytes after the header that no capability claims are scratch memory of software, as on QEMU's functions: they hold
// what is written there, over every reset but a power cycle.
import { addCapability, addExtendedCapability, findCapability, findExtendedCapability } from "./capability-list.ts";

export type AccessSize = 1 | 2 | 4;

/** What caused a reset. `bus`: secondary bus or link reset; `power`: everything, sticky bits too. */
export type ResetKind = "flr" | "bus" | "pm" | "power";

export interface RegisterDefinition {
  /** Power-on value. Default 0. */
  value?: number;
  /** Bits that software may write. Default none. */
  write?: number;
  /** Bits that software clears by writing one. Default none. */
  rw1c?: number;
  /** Bits that only a power cycle resets (sticky, suffix S in the PCIe tables). Default none. */
  sticky?: number;
  /** Bits that a function-level reset leaves alone but a bus reset does not (PCIe 6.6.2). Default none. */
  flrKept?: number;
}

interface Watch {
  readonly from: number;
  readonly to: number;
  readonly notify: (offset: number, size: AccessSize, value: number, old: number) => void;
}

const HEADER_SIZE = 0x40;
const EXTENDED_HEAD = 0x100;

export class ConfigSpace {
  /** Current contents: 256 bytes (conventional) or 4096 (PCI Express). */
  readonly bytes: Uint8Array;
  readonly #write: Uint8Array;
  readonly #rw1c: Uint8Array;
  readonly #powerOn: Uint8Array;
  readonly #sticky: Uint8Array;
  readonly #flrKept: Uint8Array;
  readonly #watches: Watch[] = [];

  constructor(size: 256 | 4096 = 256) {
    this.bytes = new Uint8Array(size);
    this.#write = new Uint8Array(size);
    this.#rw1c = new Uint8Array(size);
    this.#powerOn = new Uint8Array(size);
    this.#sticky = new Uint8Array(size);
    this.#flrKept = new Uint8Array(size);
    this.#write.fill(0xff, HEADER_SIZE);
    this.#sticky.fill(0xff, HEADER_SIZE);
    // An empty head of the extended list is a header, not free space.
    if (size > EXTENDED_HEAD) this.claim(EXTENDED_HEAD, 4);
  }

  /** Take bytes out of the free space: they read zero and ignore writes until `define` says more. */
  claim(offset: number, length: number): void {
    this.#write.fill(0, offset, offset + length);
    this.#sticky.fill(0, offset, offset + length);
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Describe `size` bytes at `offset`: power-on value and the meaning of its bits. */
  define(offset: number, size: AccessSize, definition: RegisterDefinition): void {
    const { value = 0, write = 0, rw1c = 0, sticky = 0, flrKept = 0 } = definition;
    store(this.bytes, offset, size, value);
    store(this.#powerOn, offset, size, value);
    store(this.#write, offset, size, write);
    store(this.#rw1c, offset, size, rw1c);
    store(this.#sticky, offset, size, sticky);
    store(this.#flrKept, offset, size, flrKept);
  }

  /** A read from the bus, unsigned; ones where no register can be. */
  read(offset: number, size: AccessSize): number {
    if (offset < 0 || offset + size > this.bytes.length) return size === 4 ? 0xffffffff : (1 << (size * 8)) - 1;
    const bytes = this.bytes;
    if (size === 1) return bytes[offset]!;
    if (size === 2) return bytes[offset]! | (bytes[offset + 1]! << 8);
    return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
  }

  /** A write from the bus: masks, RW1C and BAR sizing apply, then the device's watchers run. */
  write(offset: number, size: AccessSize, value: number): void {
    if (offset < 0 || offset + size > this.bytes.length) return;
    const old = this.read(offset, size);
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const byte = (value >>> (i * 8)) & 0xff;
      const mask = this.#write[at]!;
      const kept = this.bytes[at]! & ~mask & ~(byte & this.#rw1c[at]!);
      this.bytes[at] = kept | (byte & mask);
    }
    for (const watch of this.#watches) {
      if (offset < watch.to && offset + size > watch.from) watch.notify(offset, size, value, old);
    }
  }

  /** The device sets its own register, whatever software may write there. Watchers do not run. */
  poke(offset: number, size: AccessSize, value: number): void {
    store(this.bytes, offset, size, value);
  }

  /** Set or clear bits of a 16-bit register on the device's side. */
  pokeBits16(offset: number, bits: number, on: boolean): void {
    const old = this.read(offset, 2);
    this.poke(offset, 2, on ? old | bits : old & ~bits);
  }

  /** Bits of a register that software may write, for tests and for save/restore helpers. */
  writableMask(offset: number, size: AccessSize): number {
    return load(this.#write, offset, size);
  }

  /**
   * Call `notify` after each bus write that touches `length` bytes at `offset`; `value` is what was written,
   * `old` what the same bytes read before.
   */
  onWrite(offset: number, length: number, notify: Watch["notify"]): void {
    this.#watches.push({ from: offset, to: offset + length, notify });
  }

  /** Call `notify` when software writes ones to any of `bits` (of the 16-bit register at `register`), stored or not. */
  onWrittenBits(register: number, bits: number, notify: () => void): void {
    this.onWrite(register, 2, (offset, size, value) => {
      const shift = (offset - register) * 8;
      const mask = size === 4 ? 0xffffffff : (1 << (size * 8)) - 1;
      const written = shift >= 0 ? (value & mask) << shift : (value & mask) >>> -shift;
      if (written & bits) notify();
    });
  }

  /** Put registers back to power-on values, except the bits that survive this kind of reset. */
  reset(kind: ResetKind): void {
    for (let i = 0; i < this.bytes.length; i++) {
      let kept = 0;
      if (kind !== "power") kept |= this.#sticky[i]!;
      if (kind === "flr" || kind === "pm") kept |= this.#flrKept[i]!;
      this.bytes[i] = (this.bytes[i]! & kept) | (this.#powerOn[i]! & ~kept);
    }
  }

  /** Reserve and link a capability of `length` bytes (header included). Returns its offset. @throws PciError CAPABILITY_SPACE */
  addCapability(id: number, length: number, at?: number): number {
    return addCapability(this, id, length, at);
  }

  /** Same for an extended capability (offsets 0x100 and up). @throws PciError CAPABILITY_SPACE */
  addExtendedCapability(id: number, version: number, length: number, at?: number): number {
    return addExtendedCapability(this, id, version, length, at);
  }

  /** Offset of the first capability with this id, 0 when there is none. Loops in the list end the search. */
  findCapability(id: number): number {
    return findCapability(this, id);
  }

  findExtendedCapability(id: number): number {
    return findExtendedCapability(this, id);
  }
}

function store(bytes: Uint8Array, offset: number, size: AccessSize, value: number): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = value >>> (i * 8);
}

function load(bytes: Uint8Array, offset: number, size: AccessSize): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = ((value << 8) | bytes[offset + i]!) >>> 0;
  return value;
}
