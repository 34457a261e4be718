// Logical unit numbers of virtual SCSI: eight bytes of up to four levels, which name a bus (channel), a target and a
// unit. Source: SAM-5 section 4.7 (LUN structures); drivers use the logical unit addressing form for all units.
// Invariant: an address is (channel << 11 | target << 5 | unit) below 0x4000, or one of the two negative values.

export const CHANNELS = 8;
export const TARGETS = 64;
export const UNITS = 32;
/** Nothing can have this number. */
export const LUN_INVALID = -1;
/** The well-known unit that answers REPORT LUNS for all. */
export const LUN_REPORT_LUNS = -2;
const REPORT_LUNS_WELL_KNOWN = 0xc101;

export function lunAddress(channel: number, target: number, unit: number): number {
  return (channel << 11) | (target << 5) | unit;
}

/** "channel:target:unit", for people. */
export function lunText(address: number): string {
  return `${address >>> 11}:${(address >>> 5) & 0x3f}:${address & 0x1f}`;
}

export function sameTarget(a: number, b: number): boolean {
  return a >>> 5 === b >>> 5;
}

/** The address in eight bytes at `at`. */
export function decodeLun(bytes: Uint8Array, at: number): number {
  let channel = 0;
  let target = 0;
  for (let level = at; level < at + 8; level += 2) {
    const first = bytes[level]!;
    const second = bytes[level + 1]!;
    switch (first >>> 6) {
      case 0:
        // Peripheral addressing: bus 0 ends here, any other bus has its target's unit at the next level.
        if (first === 0) return unitAt(channel, target, second);
        channel = first & 0x3f;
        target = second;
        break;
      case 1:
        return unitAt(channel, target, ((first & 0x3f) << 8) | second);
      case 2:
        return lunAddress(second >>> 5, first & 0x3f, second & 0x1f);
      default:
        return ((first << 8) | second) === REPORT_LUNS_WELL_KNOWN ? LUN_REPORT_LUNS : LUN_INVALID;
    }
  }
  return LUN_INVALID;
}

/** Writes an address in the logical unit addressing form; unit 0 of everything is plain zero. */
export function encodeLun(address: number, into: Uint8Array, at: number): void {
  into[at] = address === 0 ? 0 : 0x80 | ((address >>> 5) & 0x3f);
  into[at + 1] = ((address >>> 11) << 5) | (address & 0x1f);
}

function unitAt(channel: number, target: number, unit: number): number {
  return channel < CHANNELS && target < TARGETS && unit < UNITS ? lunAddress(channel, target, unit) : LUN_INVALID;
}
