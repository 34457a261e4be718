// Whether a number goes into so many bytes.

import type { Width } from "./registers.ts";

/** As signed or as unsigned. */
export function holds(value: bigint, bytes: Width): boolean {
  return value >= -(1n << BigInt(8 * bytes - 1)) && value < 1n << BigInt(8 * bytes);
}

/** As signed. */
export function holdsSigned(value: bigint, bytes: Width): boolean {
  return BigInt.asIntN(8 * bytes, value) === value;
}
