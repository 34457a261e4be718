// Subroutines that both guest programs share: printing numbers, filling and checking the disk pattern.

import { r1, r3, r4, r5, r6, r7, r8, r9, r10 } from "@minivmm/ppc64/asm";
import type { DiskPattern } from "./disk-pattern.ts";
import type { GuestCode } from "./guest-code.ts";

/** Digits of a 64-bit number in any base fit. */
const DIGITS = 24;

/** Converts r3 in the given base from the last digit backwards, then prints; r6 walks through a buffer on the stack. */
function numberRoutine(code: GuestCode, name: string, base: number): void {
  const { a } = code;
  code.routine(name, [], DIGITS, (buffer) => {
    a.addi(r6, r1, buffer + DIGITS);
    a.li(r7, base);
    a.label(`${name}.digit`);
    a.divdu(r8, r3, r7);
    a.mulld(r9, r8, r7);
    a.sub(r9, r3, r9); // remainder
    a.addi(r10, r9, 0x30);
    a.cmpdi(r9, 10);
    a.blt(`${name}.store`);
    a.addi(r10, r9, 0x61 - 10);
    a.label(`${name}.store`);
    a.stbu(r10, -1, r6);
    a.mr(r3, r8);
    a.cmpdi(r3, 0);
    a.bne(`${name}.digit`);
    a.mr(r3, r6);
    a.addi(r4, r1, buffer + DIGITS);
    a.sub(r4, r4, r3);
    a.bl("puts");
  });
}

/** "putDecimal" and "putHex": print the unsigned number in r3. */
export function emitNumberRoutines(code: GuestCode): void {
  numberRoutine(code, "putDecimal", 10);
  numberRoutine(code, "putHex", 16);
}

/**
 * "fillPattern": r3 = buffer, r4 = bytes, r5 = index of the first word, r6 = multiplier, r7 = xor.
 * "checkPattern": the same arguments; r3 = -1 when all words are right, else the offset of the first wrong one.
 */
export function emitPatternRoutines(code: GuestCode): void {
  const { a } = code;
  const loop = (name: string, word: () => void): void => {
    a.label(name);
    a.srdi(r4, r4, 3);
    a.mtctr(r4);
    a.mulld(r5, r5, r6); // value of the first word; the following ones by addition
    a.li(r8, 0);
    a.label(`${name}.word`);
    a.xor(r9, r5, r7);
    word();
    a.add(r5, r5, r6);
    a.addi(r8, r8, 8);
    a.bdnz(`${name}.word`);
  };
  loop("fillPattern", () => a.stdx(r9, r3, r8));
  a.blr();
  loop("checkPattern", () => {
    a.ldx(r10, r3, r8);
    a.cmpld(r9, r10);
    a.bne("checkPattern.wrong");
  });
  a.li(r3, -1);
  a.blr();
  a.label("checkPattern.wrong");
  a.mr(r3, r8);
  a.blr();
}

/** Loads the pattern arguments: index of the first word from the byte offset in `offset`, multiplier and xor. */
export function loadPattern(code: GuestCode, pattern: DiskPattern, offset: number): void {
  const { a } = code;
  a.srdi(r5, offset, 3);
  a.li64(r6, pattern.multiplier);
  a.li64(r7, pattern.xor);
}
