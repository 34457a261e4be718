// Loads and stores on mapped memory. One aligned typed-array access is one machine access, so memory shared with a
// guest or a device does not tear; a DataView may split it. Both supported machines are little endian.

import { MinivmmError } from "./error.ts";
import type { AccessWidth } from "./host.ts";

/** Throws MAPPING_RANGE unless [offset, offset + width) is naturally aligned and inside `length`. */
export function checkAccess(offset: number, width: AccessWidth, length: number): void {
  if (offset >= 0 && offset + width <= length && offset % width === 0) return;
  throw new MinivmmError(`a ${width}-byte access at offset ${offset} does not fit a mapping of ${length} bytes`, {
    code: "MAPPING_RANGE",
    details: { offset, width, length },
    hint: "Offsets are naturally aligned and inside the mapping.",
  });
}

/** Typed-array access to bytes whose start is at least 4-byte aligned in their buffer. */
export class MappedBytes {
  readonly u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;

  constructor(bytes: Uint8Array) {
    this.u8 = bytes;
    this.#u16 = new Uint16Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / 2));
    this.#u32 = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / 4));
  }

  load(offset: number, width: AccessWidth): number {
    checkAccess(offset, width, this.u8.length);
    if (width === 4) return this.#u32[offset / 4] as number;
    return (width === 2 ? this.#u16[offset / 2] : this.u8[offset]) as number;
  }

  store(offset: number, width: AccessWidth, value: number): void {
    checkAccess(offset, width, this.u8.length);
    if (width === 4) this.#u32[offset / 4] = value;
    else if (width === 2) this.#u16[offset / 2] = value;
    else this.u8[offset] = value;
  }
}
