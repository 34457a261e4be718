// Recognition rows for floating point, VMX and VSX. The engine executes none of them; it has to know which facility an
// instruction belongs to, because the interrupt differs: FP unavailable 0x800, VMX unavailable 0xF20, VSX unavailable 0xF40.
// Storage accesses have a row each (they share opcode 31 with fixed point); whole opcodes are one row of form CLASS.
// Source: Power ISA 3.0B, Book I chapters 4 to 7, Book III 7.5 (interrupts).

import { type EncodingRow, row, type Unit } from "./row.ts";

/** The last bit is TX or SX (top bit of a VSX register number) or reserved: it takes no part in recognition. */
function rows(unit: Unit, extended: Record<string, number>): EncodingRow[] {
  return Object.entries(extended).map(([name, xo]) =>
    row(name, "CLASS", 31, 0, "", "", { unit, mask: 0x7fe, match: xo << 1 }),
  );
}

function whole(name: string, opcode: number, unit: Unit): EncodingRow {
  return row(name, "CLASS", opcode, 0, "", "", { unit });
}

function low(name: string, opcode: number, bits: number, value: number, unit: Unit): EncodingRow {
  return row(name, "CLASS", opcode, 0, "", "", { unit, mask: bits, match: value });
}

const FP_INDEXED = {
  lfsx: 535,
  lfsux: 567,
  lfdx: 599,
  lfdux: 631,
  lfiwax: 855,
  lfiwzx: 887,
  lfdpx: 791,
  stfsx: 663,
  stfsux: 695,
  stfdx: 727,
  stfdux: 759,
  stfiwx: 983,
  stfdpx: 919,
};
const VMX_INDEXED = {
  lvebx: 7,
  lvehx: 39,
  lvewx: 71,
  lvx: 103,
  lvxl: 359,
  lvsl: 6,
  lvsr: 38,
  stvebx: 135,
  stvehx: 167,
  stvewx: 199,
  stvx: 231,
  stvxl: 487,
};
const VSX_INDEXED = {
  lxsdx: 588,
  lxsspx: 524,
  lxsiwax: 76,
  lxsiwzx: 12,
  lxsibzx: 781,
  lxsihzx: 813,
  lxvd2x: 844,
  lxvw4x: 780,
  lxvh8x: 812,
  lxvb16x: 876,
  lxvdsx: 332,
  lxvwsx: 364,
  lxvx: 268,
  lxvl: 269,
  lxvll: 301,
  stxsdx: 716,
  stxsspx: 652,
  stxsiwx: 140,
  stxsibx: 909,
  stxsihx: 941,
  stxvd2x: 972,
  stxvw4x: 908,
  stxvh8x: 940,
  stxvb16x: 1004,
  stxvx: 396,
  stxvl: 397,
  stxvll: 429,
  mfvsrd: 51,
  mfvsrwz: 115,
  mfvsrld: 307,
  mtvsrd: 179,
  mtvsrwa: 211,
  mtvsrwz: 243,
  mtvsrws: 403,
  mtvsrdd: 435,
};
const FP_WHOLE = [
  whole("lfs", 48, "fp"),
  whole("lfsu", 49, "fp"),
  whole("lfd", 50, "fp"),
  whole("lfdu", 51, "fp"),
  whole("stfs", 52, "fp"),
  whole("stfsu", 53, "fp"),
  whole("stfd", 54, "fp"),
  whole("stfdu", 55, "fp"),
  whole("fp59", 59, "fp"),
  whole("fp63", 63, "fp"),
  low("lfdp", 57, 3, 0, "fp"),
  low("stfdp", 61, 3, 0, "fp"),
];
const VSX_WHOLE = [
  whole("vsx60", 60, "vsx"),
  low("lxsd", 57, 3, 2, "vsx"),
  low("lxssp", 57, 3, 3, "vsx"),
  low("stxsd", 61, 3, 2, "vsx"),
  low("stxssp", 61, 3, 3, "vsx"),
  low("lxv", 61, 7, 1, "vsx"),
  low("stxv", 61, 7, 5, "vsx"),
];

export const FACILITIES: readonly EncodingRow[] = [
  ...rows("fp", FP_INDEXED),
  ...rows("vmx", VMX_INDEXED),
  ...rows("vsx", VSX_INDEXED),
  ...FP_WHOLE,
  whole("vmx4", 4, "vmx"),
  ...VSX_WHOLE,
];
