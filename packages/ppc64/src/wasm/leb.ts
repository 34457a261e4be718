// LEB128, the variable-length integer code of every WebAssembly section (core specification, 5.2.2).
// 64-bit constants arrive as BigInt: modules are built once, so nothing here is hot.

/** Append an unsigned value below 2^32. */
export function unsignedLeb(out: number[], value: number): void {
  let rest = value >>> 0;
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
}

/** Append a signed 32-bit value. */
export function signedLeb32(out: number[], value: number): void {
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
      out.push(low);
      return;
    }
    out.push(low | 0x80);
  }
}

/** Append a signed 64-bit value; anything wider is wrapped first. */
export function signedLeb64(out: number[], value: bigint): void {
  let rest = BigInt.asIntN(64, value);
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
      out.push(low);
      return;
    }
    out.push(low | 0x80);
  }
}

/** Append a length-prefixed UTF-8 name. */
export function nameBytes(out: number[], name: string): void {
  const bytes = new TextEncoder().encode(name);
  unsignedLeb(out, bytes.length);
  out.push(...bytes);
}
