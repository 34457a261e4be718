// Bytes of ACPI structures: little-endian numbers and their concatenation. Not for hot paths.
import { hex, VmmError } from "../../errors.ts";

type Part = Uint8Array | readonly number[];

/** `value` in `size` bytes, low first. Throws VmmError ACPI_VALUE when it does not fit. */
export function le(value: number | bigint, size: 1 | 2 | 4 | 8): number[] {
  let rest = typeof value === "bigint" ? value : Number.isInteger(value) ? BigInt(value) : -1n;
  if (rest < 0n || rest >> BigInt(size * 8) !== 0n) {
    throw acpiValue(`${typeof value === "bigint" ? value : hex(value)} is no unsigned number of ${size * 8} bits`);
  }
  const out: number[] = [];
  for (let at = 0; at < size; at++) {
    out.push(Number(rest & 0xffn));
    rest >>= 8n;
  }
  return out;
}

export function concat(...parts: readonly Part[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The letters' codes; all are of seven bits. */
export function ascii(text: string): number[] {
  const codes = [...text].map((letter) => letter.charCodeAt(0));
  // NUL ends a string wherever ACPI has one.
  if (codes.some((code) => code === 0 || code > 0x7f)) throw acpiValue(`"${text}" has letters that are not ASCII`);
  return codes;
}

/** A name in a field of fixed size, filled up with spaces. */
export function padded(text: string, size: number): number[] {
  if (text.length > size) throw acpiValue(`"${text}" has more than ${size} letters`);
  return ascii(text.padEnd(size));
}

export function acpiValue(why: string): VmmError {
  return new VmmError(`ACPI tables: ${why}`, { code: "ACPI_VALUE" });
}
