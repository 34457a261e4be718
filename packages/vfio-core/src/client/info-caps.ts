/** Capability chains of the INFO ioctls: {id, version, next} headers, offsets from the start of the struct. */
import { vfio_info_cap_header } from "../uapi.ts";

export interface CapabilityBytes {
  readonly id: number;
  readonly version: number;
  /** From the header on to the end of the buffer. */
  readonly bytes: Uint8Array;
}

/** Walks a chain; a pointer out of the buffer or backwards ends it. */
export function capabilityChain(buffer: Uint8Array, first: number): CapabilityBytes[] {
  const found: CapabilityBytes[] = [];
  for (let at = first, last = 0; at > last && at + vfio_info_cap_header.size <= buffer.length; ) {
    const { id, version, next } = vfio_info_cap_header.decode(buffer, at);
    found.push({ id, version, bytes: buffer.subarray(at) });
    last = at;
    at = next;
  }
  return found;
}
