// Special-purpose registers, machine state, barriers, TLB and SLB management, messages.
// Source: Power ISA 3.0B, Book II 4.6 and Book III chapters 3 to 6 (radix forms of tlbie/tlbiel).

import { row } from "./row.ts";

export const REGISTERS = [
  row("mfspr", "XFX", 31, 339, "RT,SPR"),
  row("mtspr", "XFX", 31, 467, "SPR,RS"),
  row("mftb", "XFX", 31, 371, "RT,SPR"),
  row("mfmsr", "X", 31, 83, "RT", "priv"),
  row("mtmsr", "X", 31, 146, "RS,L15?", "priv"),
  row("mtmsrd", "X", 31, 178, "RS,L15?", "priv"),
] as const;

export const CONTROL = [
  row("isync", "XL", 19, 150, ""),
  row("sync", "X", 31, 598, "L2?"),
  row("eieio", "X", 31, 854, ""),
  row("wait", "X", 31, 30, "L2?"),
  row("rfid", "XL", 19, 18, "", "priv"),
  row("rfscv", "XL", 19, 82, "", "priv"),
  row("hrfid", "XL", 19, 274, "", "priv"),
  row("stop", "XL", 19, 370, "", "priv"),
  row("rfebb", "XL", 19, 146, "S?"),
] as const;

export const TRANSLATION = [
  row("tlbie", "X", 31, 306, "RB,RS,RIC,PRS,R", "priv"),
  row("tlbiel", "X", 31, 274, "RB,RS,RIC,PRS,R", "priv"),
  row("tlbsync", "X", 31, 566, "", "priv"),
  row("slbia", "X", 31, 498, "IH?", "priv"),
  row("slbie", "X", 31, 434, "RB", "priv"),
  row("slbieg", "X", 31, 466, "RS,RB", "priv"),
  row("slbmte", "X", 31, 402, "RS,RB", "priv"),
  row("slbmfee", "X", 31, 915, "RT,RB,L15?", "priv"),
  row("slbmfev", "X", 31, 851, "RT,RB,L15?", "priv"),
  row("slbfee.", "X", 31, 979, "RT,RB", "priv", { mask: 1, match: 1 }),
  row("slbsync", "X", 31, 338, "", "priv"),
  row("msgsnd", "X", 31, 206, "RB", "priv"),
  row("msgclr", "X", 31, 238, "RB", "priv"),
  row("msgsndp", "X", 31, 142, "RB", "priv"),
  row("msgclrp", "X", 31, 174, "RB", "priv"),
  row("msgsync", "X", 31, 886, "", "priv"),
] as const;
