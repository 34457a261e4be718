// Branches, condition-register logic, traps and system calls.
// Source: Power ISA 3.0B, Book I chapter 2 and 3.3.11, Book II 4.3 (barriers).

import { row } from "./row.ts";

export const BRANCHES = [
  row("b", "I", 18, 0, "LI", "lk aa"),
  row("bc", "B", 16, 0, "BO,BI,BD", "lk aa"),
  row("bclr", "XL", 19, 16, "BO,BI,BH?", "lk"),
  row("bcctr", "XL", 19, 528, "BO,BI,BH?", "lk"),
  row("bctar", "XL", 19, 560, "BO,BI,BH?", "lk"),
  row("sc", "SC", 17, 2, "LEV?"),
  row("scv", "SC", 17, 1, "LEV"),
] as const;

export const CONDITION = [
  row("crand", "XL", 19, 257, "BT,BA,BB"),
  row("crandc", "XL", 19, 129, "BT,BA,BB"),
  row("creqv", "XL", 19, 289, "BT,BA,BB"),
  row("crnand", "XL", 19, 225, "BT,BA,BB"),
  row("crnor", "XL", 19, 33, "BT,BA,BB"),
  row("cror", "XL", 19, 449, "BT,BA,BB"),
  row("crorc", "XL", 19, 417, "BT,BA,BB"),
  row("crxor", "XL", 19, 193, "BT,BA,BB"),
  row("mcrf", "XL", 19, 0, "BF,BFA"),
  row("mcrxrx", "X", 31, 576, "BF"),
  row("mfcr", "XFX", 31, 19, "RT", "", { mask: 1 << 20 }),
  row("mfocrf", "XFX", 31, 19, "RT,FXM", "", { mask: 1 << 20, match: 1 << 20 }),
  row("mtcrf", "XFX", 31, 144, "FXM,RS", "", { mask: 1 << 20 }),
  row("mtocrf", "XFX", 31, 144, "FXM,RS", "", { mask: 1 << 20, match: 1 << 20 }),
] as const;

export const TRAPS = [
  row("twi", "D", 3, 0, "TO,RA,SI"),
  row("tdi", "D", 2, 0, "TO,RA,SI"),
  row("tw", "X", 31, 4, "TO,RA,RB"),
  row("td", "X", 31, 68, "TO,RA,RB"),
] as const;
