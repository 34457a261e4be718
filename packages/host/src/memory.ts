// Guest RAM, addressed by guest physical address from 0. The same class covers RAM inside a shared WebAssembly memory
// (where the CPU engine keeps other things in front of it, hence `base`) and mmap'ed RAM of a KVM slot.
// Invariant: aligned accesses are single typed-array accesses, because a guest CPU or a device may share the memory.
// Whoever handles an address from a guest asks `contains` (or uses slice, writeBytes, readBytes, fill, which say no);
// the scalar accessors throw GUEST_MEMORY_RANGE, since an unchecked address there is a fault of the host's own code.

import { MinivmmError } from "./error.ts";

export class GuestMemory {
  readonly buffer: ArrayBufferLike;
  /** Byte offset of guest physical 0 in `buffer`. */
  readonly base: number;
  /** Bytes of RAM. */
  readonly size: number;
  /** The RAM only: index = guest physical address. */
  readonly u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;

  /** `base` is a multiple of 8 and [base, base + size) lies inside `buffer`, or MinivmmError GUEST_MEMORY_SHAPE. */
  constructor(buffer: ArrayBufferLike, base: number, size: number) {
    if (base < 0 || base % 8 !== 0 || size < 0 || base + size > buffer.byteLength) {
      throw new MinivmmError(
        `RAM of ${size} bytes at offset ${base} does not fit a buffer of ${buffer.byteLength} bytes`,
        {
          code: "GUEST_MEMORY_SHAPE",
          details: { base, size, byteLength: buffer.byteLength },
          hint: "The offset is a multiple of 8 and the RAM ends inside the buffer.",
        },
      );
    }
    this.buffer = buffer;
    this.base = base;
    this.size = size;
    this.u8 = new Uint8Array(buffer, base, size);
    this.#u16 = new Uint16Array(buffer, base, Math.floor(size / 2));
    this.#u32 = new Uint32Array(buffer, base, Math.floor(size / 4));
  }

  /** Whether [gpa, gpa + length) is RAM. */
  contains(gpa: number, length: number): boolean {
    return gpa >= 0 && length >= 0 && gpa + length <= this.size;
  }

  /** The bytes themselves, not a copy; null outside RAM. */
  slice(gpa: number, length: number): Uint8Array | null {
    return this.contains(gpa, length) ? this.u8.subarray(gpa, gpa + length) : null;
  }

  writeBytes(gpa: number, bytes: Uint8Array): boolean {
    if (!this.contains(gpa, bytes.length)) return false;
    this.u8.set(bytes, gpa);
    return true;
  }

  /** Fills `into` from gpa on. */
  readBytes(gpa: number, into: Uint8Array): boolean {
    if (!this.contains(gpa, into.length)) return false;
    into.set(this.u8.subarray(gpa, gpa + into.length));
    return true;
  }

  fill(gpa: number, length: number, value = 0): boolean {
    if (!this.contains(gpa, length)) return false;
    this.u8.fill(value, gpa, gpa + length);
    return true;
  }

  u8at(gpa: number): number {
    this.#check(gpa, 1);
    return this.u8[gpa] as number;
  }

  u16le(gpa: number): number {
    this.#check(gpa, 2);
    if (gpa % 2 === 0) return this.#u16[gpa / 2] as number;
    return this.u8at(gpa) | (this.u8at(gpa + 1) << 8);
  }

  u16be(gpa: number): number {
    return swap16(this.u16le(gpa));
  }

  u32le(gpa: number): number {
    this.#check(gpa, 4);
    if (gpa % 4 === 0) return this.#u32[gpa / 4] as number;
    return (this.u16le(gpa) | (this.u16le(gpa + 2) << 16)) >>> 0;
  }

  u32be(gpa: number): number {
    return swap32(this.u32le(gpa));
  }

  /** For set-up code; hot paths read the halves with u32le. */
  u64le(gpa: number): bigint {
    this.#check(gpa, 8);
    return (BigInt(this.u32le(gpa + 4)) << 32n) | BigInt(this.u32le(gpa));
  }

  u64be(gpa: number): bigint {
    this.#check(gpa, 8);
    return (BigInt(this.u32be(gpa)) << 32n) | BigInt(this.u32be(gpa + 4));
  }

  setU8(gpa: number, value: number): void {
    this.#check(gpa, 1);
    this.u8[gpa] = value;
  }

  setU16le(gpa: number, value: number): void {
    this.#check(gpa, 2);
    if (gpa % 2 === 0) {
      this.#u16[gpa / 2] = value;
    } else {
      this.u8[gpa] = value;
      this.u8[gpa + 1] = value >>> 8;
    }
  }

  setU16be(gpa: number, value: number): void {
    this.setU16le(gpa, swap16(value));
  }

  setU32le(gpa: number, value: number): void {
    this.#check(gpa, 4);
    if (gpa % 4 === 0) {
      this.#u32[gpa / 4] = value;
    } else {
      this.setU16le(gpa, value);
      this.setU16le(gpa + 2, value >>> 16);
    }
  }

  setU32be(gpa: number, value: number): void {
    this.setU32le(gpa, swap32(value));
  }

  setU64le(gpa: number, hi: number, lo: number): void {
    this.#check(gpa, 8);
    this.setU32le(gpa, lo);
    this.setU32le(gpa + 4, hi);
  }

  setU64be(gpa: number, hi: number, lo: number): void {
    this.#check(gpa, 8);
    this.setU32be(gpa, hi);
    this.setU32be(gpa + 4, lo);
  }

  #check(gpa: number, width: number): void {
    if (gpa >= 0 && gpa + width <= this.size) return;
    throw new MinivmmError(
      `guest physical address ${hex(gpa)} (${width} bytes) is outside RAM of ${hex(this.size)} bytes`,
      {
        code: "GUEST_MEMORY_RANGE",
        details: { gpa, width, size: this.size },
        hint: "Check addresses that come from a guest with contains() first.",
      },
    );
  }
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
