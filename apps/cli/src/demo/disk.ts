// The demonstration's disk, seen from the host: filled with the pattern that the guest expects, and looked at afterwards
// for the one that it writes. Both sides compute the patterns for themselves.
import { diskPattern, READ_PATTERN, WRITE_PATTERN } from "@minivmm/vmm/guests";
import { TRANSFER_BYTES } from "./guests.ts";

const DISK_BYTES = 64 << 20;

/** Contents of a disk whose first part holds the known pattern; the rest is zero. */
export function demoDisk(): Uint8Array {
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(diskPattern(TRANSFER_BYTES, READ_PATTERN));
  return disk;
}

/** Undefined when the guest's pattern is where it has to be and all else is untouched; else what is wrong. */
export function checkDemoDisk(disk: Uint8Array): string | undefined {
  const expected = demoDisk();
  expected.set(diskPattern(TRANSFER_BYTES, WRITE_PATTERN), TRANSFER_BYTES);
  if (Buffer.compare(disk, expected) === 0) return undefined;
  const at = expected.findIndex((byte, index) => disk[index] !== byte);
  return `byte ${at} of the disk is ${disk[at]}, not ${expected[at]}`;
}
