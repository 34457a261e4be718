// Sizes as QEMU writes them: a number with an optional unit K, M, G or T (powers of 1024), fractions allowed where the
// result is a whole number of bytes.
import { usageError } from "../errors.ts";

export type SizeUnit = "B" | "K" | "M" | "G" | "T";
const UNITS: Readonly<Record<SizeUnit, number>> = { B: 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * Bytes of "512", "512M", "1.5G", "0x100000" (hexadecimal has no unit).
 * `unit` is that of a number without one; `what` names the option in the message. Throws CliError USAGE_OPTION.
 */
export function parseSize(text: string, unit: SizeUnit, what: string): number {
  const match = /^(?:(0x[0-9a-f]+)|(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|(B))?)$/i.exec(text.trim());
  if (match === null) throw usageError(`${what}: "${text}" is not a size`, "write a number with K, M or G: 512M");
  const [, hexadecimal, number = "", letter, bytes] = match;
  const factor = UNITS[((letter ?? bytes)?.toUpperCase() as SizeUnit | undefined) ?? unit];
  const value = hexadecimal === undefined ? Number(number) * factor : Number(hexadecimal);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw usageError(`${what}: "${text}" is not a whole number of bytes above 0 and below 2^53`, "for example 512M");
}

/** "512 MiB", "1.5 KiB": for people. */
export function formatSize(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const step = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** step;
  return `${Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[step]}`;
}
