// Changing byte order: the code that a kernel starts with, and has behind every RTAS call. In little-endian mode it is
// two instructions that do nothing; in big-endian mode the first word reads as a branch into byte-swapped code that sets
// MSR[LE] and MSR[SF] with rfid and arrives at the same place.

import { Assembler, r10, r11, SPR_SRR0, SPR_SRR1 } from "@minivmm/ppc64/asm";
import type { GuestCode } from "./guest-code.ts";

/** `tdi 0,0,0x48` never traps; its bytes backwards are `b .+8`. */
const TRAP_NEVER = 0x08000048;
const MSR_LE = 1;

function byteSwapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/** The big-endian part. It begins at 8 behind the start, and continues at the instruction behind itself. */
function bigEndianPart(): number[] {
  const b = new Assembler();
  b.mfmsr(r11);
  b.ori(r11, r11, MSR_LE);
  b.li(r10, 1);
  b.sldi(r10, r10, 63); // SF
  b.or(r11, r11, r10);
  b.bcl(20, 31, b.here + 4); // LR = here
  const base = b.here;
  b.mflr(r10);
  const distance = b.size;
  b.addi(r10, r10, 0);
  b.mtspr(SPR_SRR0, r10);
  b.mtspr(SPR_SRR1, r11);
  b.rfid();
  const bytes = b.bytes();
  const view = new DataView(bytes.buffer);
  view.setUint32(distance, view.getUint32(distance, true) | (b.here - base), true);
  return Array.from({ length: bytes.length / 4 }, (_, i) => byteSwapped(view.getUint32(i * 4, true)));
}

/** Emits the trampoline here. Clobbers r10, r11 and LR when it has something to do. */
export function emitEndianTrampoline(code: GuestCode): void {
  const words = bigEndianPart();
  code.a.word(TRAP_NEVER);
  code.a.b(code.a.here + 4 + words.length * 4);
  for (const word of words) code.a.word(word);
}
