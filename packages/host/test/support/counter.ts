// The eight bytes that eventfds read and write.

import type { Host } from "../../src/index.ts";

export function counter(value: bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([value]).buffer);
}

/** The count read from an eventfd, or null when the read is refused. */
export function readCounter(host: Host, fd: number): bigint | null {
  const raw = new BigUint64Array(1);
  return host.read(fd, new Uint8Array(raw.buffer)) === 8 ? (raw[0] as bigint) : null;
}
