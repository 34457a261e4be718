// The platform's services as a kernel uses them: console, RTAS calls, configuration space and DMA windows.
// Source: PAPR 7.2 (RTAS argument frames: big-endian 32-bit cells, called in 32-bit big-endian real mode), 14.5 (hypercalls:
// `sc 1`, token and status in r3).

import { H_BUSY, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_PUT_TERM_CHAR, H_STUFF_TCE } from "@minivmm/kvm";
import { r0, r3, r4, r5, r6, r7, r12, r29, r30, r31, SPR_SRR0, SPR_SRR1 } from "@minivmm/ppc64/asm";
import {
  type BareSettings,
  busAddress,
  CONTROL_PAGES,
  DATA_PAGES,
  DEVICE_PAGES,
  MEMORY,
  PAGE,
  pageAddress,
} from "./bare-layout.ts";
import { emitEndianTrampoline } from "./bare-trampoline.ts";
import type { GuestCode } from "./guest-code.ts";

const TERM_CHARS = 16;
const TCE_READ_WRITE = 3;
/** ME and RI: 32-bit, big-endian, translation off. */
const RTAS_MSR = 0x1002;
/** r14..r31: RTAS runs in 32-bit mode and may lose the upper halves of what it saves. */
const NON_VOLATILE = Array.from({ length: 18 }, (_, i) => i + 14);

/** "puts": H_PUT_TERM_CHAR in pieces of up to 16 bytes; the first character is the most significant byte of r6. */
export function emitConsole(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("puts", [r30, r31], 0, () => {
    a.mr(r30, r3);
    a.mr(r31, r4);
    a.label("puts.more");
    a.cmpdi(r31, 0);
    a.ble("puts.return");
    a.label("puts.again");
    a.li(r3, H_PUT_TERM_CHAR);
    a.li64(r4, s.vtyUnit);
    a.mr(r5, r31);
    a.cmpdi(r5, TERM_CHARS);
    a.ble("puts.length");
    a.li(r5, TERM_CHARS);
    a.label("puts.length");
    a.ldbrx(r6, 0, r30);
    a.addi(r7, r30, 8);
    a.ldbrx(r7, 0, r7);
    a.sc(1);
    a.cmpdi(r3, H_BUSY);
    a.beq("puts.again");
    a.addi(r30, r30, TERM_CHARS);
    a.subi(r31, r31, TERM_CHARS);
    a.b("puts.more");
  });
}

/** "rtas": calls the frame that was built at MEMORY.rtasFrame, as a kernel does: rfid into 32-bit big-endian mode. */
export function emitRtas(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("rtas", NON_VOLATILE, 0, () => {
    a.la(r12, "rtas.back");
    a.mtlr(r12);
    a.li64(r3, s.memoryBase + MEMORY.rtasFrame);
    a.li64(r4, s.rtasEntry);
    a.mtspr(SPR_SRR0, r4);
    a.li64(r5, RTAS_MSR);
    a.mtspr(SPR_SRR1, r5);
    a.rfid();
    a.label("rtas.back");
    emitEndianTrampoline(code);
  });
}

/** Builds a frame from constants and registers (`r` names a register) and calls it; the status cell is left for rtasCell(). */
export function callRtas(
  code: GuestCode,
  s: BareSettings,
  token: number,
  args: readonly (number | { readonly r: number })[],
  results: number,
): void {
  const { a } = code;
  a.li64(r12, s.memoryBase + MEMORY.rtasFrame);
  [token, args.length, results, ...args].forEach((cell, i) => {
    if (typeof cell === "number") a.li64(r0, cell);
    else a.mr(r0, cell.r);
    a.li(r6, i * 4);
    a.stwbrx(r0, r12, r6);
  });
  a.bl("rtas");
}

/** Loads result cell `index` (0 = status) of a call with `args` arguments into r3, sign-extended. */
export function rtasResult(code: GuestCode, s: BareSettings, args: number, index: number): void {
  const { a } = code;
  a.li64(r12, s.memoryBase + MEMORY.rtasFrame + 12 + (args + index) * 4);
  a.lwbrx(r3, 0, r12);
  a.extsw(r3, r3);
}

/**
 * "readConfig": r3 = register, r4 = size in bytes; r3 = value, all ones when the call failed.
 * "writeConfig": r3 = register, r4 = size, r5 = value; r3 = RTAS status.
 */
export function emitConfigAccess(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  const high = Number(s.buid >> 32n);
  const low = Number(s.buid & 0xffffffffn);
  code.routine("readConfig", [], 0, () => {
    a.li64(r7, s.configAddress);
    a.or(r3, r3, r7);
    callRtas(code, s, s.rtasTokens.readConfig, [{ r: r3 }, high, low, { r: r4 }], 2);
    rtasResult(code, s, 4, 0);
    a.cmpdi(r3, 0);
    a.li(r3, -1);
    a.bne("readConfig.return");
    rtasResult(code, s, 4, 1);
    a.clrldi(r3, r3, 32);
  });
  code.routine("writeConfig", [], 0, () => {
    a.li64(r7, s.configAddress);
    a.or(r3, r3, r7);
    callRtas(code, s, s.rtasTokens.writeConfig, [{ r: r3 }, high, low, { r: r4 }, { r: r5 }], 1);
    rtasResult(code, s, 5, 0);
  });
}

/** "powerOff": does not return when the platform does it. */
export function emitPowerOff(code: GuestCode, s: BareSettings): void {
  code.a.label("powerOff");
  callRtas(code, s, s.rtasTokens.powerOff, [0xffffffff, 0xffffffff], 1);
  code.a.label("powerOff.forever");
  code.a.b("powerOff.forever");
}

/**
 * "mapPages": r3 = 0 or the failing hypercall's status. Clears the range with H_STUFF_TCE, maps the control pages with
 * H_PUT_TCE each and the data pages with one H_PUT_TCE_INDIRECT.
 * "unmapPages": H_STUFF_TCE over everything; r3 = status.
 */
export function emitDmaMapping(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("unmapPages", [], 0, () => {
    a.li(r3, H_STUFF_TCE);
    a.li64(r4, s.liobn);
    a.li64(r5, s.dmaAddress);
    a.li(r6, 0);
    a.li(r7, DEVICE_PAGES);
    a.sc(1);
  });
  code.routine("mapPages", [r29, r30, r31], 0, () => {
    a.bl("unmapPages");
    a.cmpdi(r3, 0);
    a.bne("mapPages.return");
    a.li64(r30, s.dmaAddress);
    a.li64(r31, pageAddress(s, "adminSubmission") | TCE_READ_WRITE);
    a.li(r29, CONTROL_PAGES);
    a.label("mapPages.each");
    a.li(r3, H_PUT_TCE);
    a.li64(r4, s.liobn);
    a.mr(r5, r30);
    a.mr(r6, r31);
    a.sc(1);
    a.cmpdi(r3, 0);
    a.bne("mapPages.return");
    a.addi(r30, r30, PAGE);
    a.addi(r31, r31, PAGE);
    a.addi(r29, r29, -1);
    a.cmpdi(r29, 0);
    a.bne("mapPages.each");

    // The list: big-endian TCEs of the data pages, r31 goes on counting.
    a.li64(r30, s.memoryBase + MEMORY.tceList);
    a.li(r29, DATA_PAGES);
    a.mtctr(r29);
    a.label("mapPages.list");
    a.stdbrx(r31, 0, r30);
    a.addi(r31, r31, PAGE);
    a.addi(r30, r30, 8);
    a.bdnz("mapPages.list");
    a.li(r3, H_PUT_TCE_INDIRECT);
    a.li64(r4, s.liobn);
    a.li64(r5, busAddress(s, "data"));
    a.li64(r6, s.memoryBase + MEMORY.tceList);
    a.li(r7, DATA_PAGES);
    a.sc(1);
  });
}
