// Which special-purpose registers are plain storage, which need problem state to be kept out, and which do something when
// touched. Source: Power ISA 3.0B Book III table of SPR encodings; behaviour of unknown ones: 4.4.4 (no-op when
// privileged, illegal or privileged interrupt otherwise).

import {
  SPR_AMR,
  SPR_AMR_USER,
  SPR_CTR,
  SPR_CTRL_READ,
  SPR_CTRL_WRITE,
  SPR_DEC,
  SPR_DSCR_USER,
  SPR_IAMR,
  SPR_LR,
  SPR_PIDR,
  SPR_PPR,
  SPR_PPR32,
  SPR_PVR,
  SPR_SPRG3,
  SPR_SPRG3_USER,
  SPR_TAR,
  SPR_TB,
  SPR_TBL_WRITE,
  SPR_TBU,
  SPR_TBU_WRITE,
  SPR_VRSAVE,
  SPR_VTB,
  SPR_XER,
} from "./bits.ts";

/** open: storage for everyone; privileged: storage, problem state escapes; system: handled by the TypeScript side. */
export type SprAccess = "open" | "privileged" | "system" | "xer" | "time" | "timeUpper";

const SPR_DSCR = 17;

const SPECIAL = new Map<number, SprAccess>([
  [SPR_XER, "xer"],
  [SPR_TB, "time"],
  [SPR_TBU, "timeUpper"],
  ...[SPR_LR, SPR_CTR, SPR_DSCR_USER, SPR_CTRL_READ, SPR_VRSAVE, SPR_SPRG3_USER, SPR_TAR, SPR_PPR, SPR_PPR32].map(
    (n): [number, SprAccess] => [n, "open"],
  ),
  ...[SPR_DEC, SPR_VTB, SPR_PIDR, SPR_AMR, SPR_AMR_USER, SPR_IAMR].map((n): [number, SprAccess] => [n, "system"]),
]);
/** Performance monitor and event-based branch registers that problem state may read and write. */
const isUserMonitor = (n: number): boolean => (n >= 768 && n <= 783) || (n >= 800 && n <= 806);

const ALIASES = new Map([
  [SPR_DSCR_USER, SPR_DSCR],
  [SPR_CTRL_READ, SPR_CTRL_WRITE],
  [SPR_SPRG3_USER, SPR_SPRG3],
  [SPR_AMR_USER, SPR_AMR],
]);
const READ_ONLY = new Set([
  SPR_TB,
  SPR_TBU,
  SPR_VTB,
  SPR_PVR,
  SPR_CTRL_READ,
  SPR_SPRG3_USER,
  SPR_TBL_WRITE,
  SPR_TBU_WRITE,
]);

export function sprAccess(n: number): SprAccess {
  return SPECIAL.get(n) ?? (isUserMonitor(n) ? "open" : "privileged");
}

/** The number under which a register is stored: user views share the home of the register they show. */
export const sprHome = (n: number): number => ALIASES.get(n) ?? n;

/** Writes are ignored (the time base belongs to the hypervisor), or refused in problem state. */
export const isReadOnlySpr = (n: number): boolean => READ_ONLY.has(n);

/** SPR numbers with this bit set are privileged. */
export const SPR_PRIVILEGED_BIT = 0x10;
