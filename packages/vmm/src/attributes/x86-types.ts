// Memory types of x86 under their architectural names, and the PAT register that page table entries point into.
// Source: Intel SDM volume 3, "Memory Types Available", "Page Attribute Table (PAT)"; AMD APM volume 2, 7.8.
// Invariant: names stand for themselves; numbers occur only where a register or an EPT entry has them.

/** What a page table entry can ask for through the PAT. */
export type PatType = "UC" | "UC-" | "WC" | "WT" | "WP" | "WB";
/** What an MTRR or an EPT entry can say. UC- is the PAT's alone. */
export type MtrrType = Exclude<PatType, "UC-">;

export const PAT_TYPES: readonly PatType[] = ["UC", "UC-", "WC", "WT", "WP", "WB"];
export const MTRR_TYPES: readonly MtrrType[] = ["UC", "WC", "WT", "WP", "WB"];

/** IA32_PAT (MSR 0x277) after reset: WB, WT, UC-, UC, twice. */
export const PAT_AFTER_RESET = 0x0007_0406_0007_0406n;
/** What Linux writes: WB, WC, UC-, UC, WB, WP, UC-, WT. */
export const PAT_OF_LINUX = 0x0407_0506_0007_0106n;

/** By encoding; 2 and 3 are reserved, and writing them is a general protection fault. */
const BY_CODE: readonly (PatType | undefined)[] = ["UC", "WC", undefined, undefined, "WT", "WP", "WB", "UC-"];
const CODES: Readonly<Record<PatType, number>> = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6, "UC-": 7 };

/** Encoding of a type in the PAT, in an MTRR and in bits 5:3 of an EPT entry. */
export function codeOf(type: PatType): number {
  return CODES[type];
}

/** Type of an encoding; undefined for a reserved one. */
export function typeOfCode(code: number): PatType | undefined {
  return BY_CODE[code];
}

/**
 * Type of PAT entry `index` (bits PAT, PCD, PWT of the page table entry: 0 to 7) of a PAT register given as two halves.
 * Undefined for a reserved encoding, which no register holds.
 */
export function patEntry(patHi: number, patLo: number, index: number): PatType | undefined {
  return BY_CODE[((index < 4 ? patLo : patHi) >>> ((index & 3) * 8)) & 0xff];
}
