// How the operand fields of each instruction form are laid into a record. Register fields become byte offsets of the
// register in the CPU state, CR fields the offset of their byte; (RA|0) with RA = 0 names the slot that is always zero.
// Source: Power ISA 3.0B Book I section 1.6.

import { CR, gprOffset, ZERO } from "./layout.ts";
import type { Layout, RecordFields } from "./table.ts";

export const fieldRT = (word: number): number => (word >>> 21) & 31;
export const fieldRA = (word: number): number => (word >>> 16) & 31;
export const fieldRB = (word: number): number => (word >>> 11) & 31;
const rt = (word: number): number => gprOffset(fieldRT(word));
const ra = (word: number): number => gprOffset(fieldRA(word));
const rb = (word: number): number => gprOffset(fieldRB(word));
const ra0 = (word: number): number => (fieldRA(word) === 0 ? ZERO : ra(word));

const signed16 = (word: number): number => (word << 16) >> 16;

function signedImm(r: RecordFields, value: number): void {
  r.immLo = value | 0;
  r.immHi = value < 0 ? -1 : 0;
}

function unsignedImm(r: RecordFields, value: number): void {
  r.immLo = value | 0;
  r.immHi = 0;
}

/** RT, RA, RB */
export const rtRaRb: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra(w);
  r.c = rb(w);
};
/** RT, (RA|0), RB */
export const rtRa0Rb: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra0(w);
  r.c = rb(w);
};
/** RA, RS, RB: logical and shift instructions write RA. */
export const raRsRb: Layout = (w, r) => {
  r.a = ra(w);
  r.b = rt(w);
  r.c = rb(w);
};
/** RA, RS and a 5-bit shift amount. */
export const raRsSh: Layout = (w, r) => {
  r.a = ra(w);
  r.b = rt(w);
  r.c = fieldRB(w);
};
/** RA, RS and a 6-bit shift amount. */
export const raRsSh6: Layout = (w, r) => {
  r.a = ra(w);
  r.b = rt(w);
  r.c = fieldRB(w) | ((w & 2) << 4);
};
/** RT, RA, signed immediate */
export const rtRaSi: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra(w);
  signedImm(r, signed16(w));
};
/** RT, (RA|0), signed immediate or displacement */
export const rtRa0Si: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra0(w);
  signedImm(r, signed16(w));
};
/** RT, (RA|0), signed immediate shifted left by 16 */
export const rtRa0Sis: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra0(w);
  signedImm(r, (w & 0xffff) << 16);
};
/** DS and DQ displacements; the low bits of the word are opcode. */
export const rtRa0Ds: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra0(w);
  signedImm(r, signed16(w & 0xfffc));
};
export const rtRaDs: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra(w);
  signedImm(r, signed16(w & 0xfffc));
};
export const rtRa0Dq: Layout = (w, r) => {
  r.a = rt(w);
  r.b = ra0(w);
  signedImm(r, signed16(w & 0xfff0));
};
/** RA, RS, unsigned immediate, in the low or the high half of the word */
export const raRsUi: Layout = (w, r) => {
  r.a = ra(w);
  r.b = rt(w);
  unsignedImm(r, w & 0xffff);
};
export const raRsUis: Layout = (w, r) => {
  r.a = ra(w);
  r.b = rt(w);
  unsignedImm(r, (w & 0xffff) << 16);
};
/** RT and the split immediate of addpcis */
export const rtDx: Layout = (w, r) => {
  r.a = rt(w);
  signedImm(r, (((w & 0xffc0) | ((w >>> 15) & 0x3e) | (w & 1)) << 16) | 0);
};
/** RT, RA, RB and RC, whose offset is the immediate */
export const rtRaRbRc: Layout = (w, r) => {
  rtRaRb(w, r, 0);
  unsignedImm(r, gprOffset((w >>> 6) & 31));
};
/** RT, (RA|0), RB, and the CR bit BC as byte offset and mask in immediate bytes 0..1 and 2 */
export const rtRa0RbBc: Layout = (w, r) => {
  rtRa0Rb(w, r, 0);
  const bit = (w >>> 6) & 31;
  unsignedImm(r, (CR + (bit >>> 2)) | ((8 >>> (bit & 3)) << 16));
};
/** BF, RA, RB */
export const bfRaRb: Layout = (w, r) => {
  r.a = CR + ((w >>> 23) & 7);
  r.b = ra(w);
  r.c = rb(w);
};
/** BF, RA, signed or unsigned immediate */
export const bfRaSi: Layout = (w, r) => {
  r.a = CR + ((w >>> 23) & 7);
  r.b = ra(w);
  signedImm(r, signed16(w));
};
export const bfRaUi: Layout = (w, r) => {
  r.a = CR + ((w >>> 23) & 7);
  r.b = ra(w);
  unsignedImm(r, w & 0xffff);
};
/** BF, BFA */
export const bfBfa: Layout = (w, r) => {
  r.a = CR + ((w >>> 23) & 7);
  r.b = CR + ((w >>> 18) & 7);
};
/** RT, BFA */
export const rtBfa: Layout = (w, r) => {
  r.a = rt(w);
  r.b = CR + ((w >>> 18) & 7);
};
/** BT, BA, BB: the fields' bytes; immediate bytes 0..2 hold how far each bit is from the least significant. */
export const btBaBb: Layout = (w, r) => {
  const [t, a, b] = [fieldRT(w), fieldRA(w), fieldRB(w)];
  r.a = CR + (t >>> 2);
  r.b = CR + (a >>> 2);
  r.c = CR + (b >>> 2);
  unsignedImm(r, (3 - (t & 3)) | ((3 - (a & 3)) << 8) | ((3 - (b & 3)) << 16));
};
/** RT or RS, and FXM in the immediate */
export const rtFxm: Layout = (w, r) => {
  r.a = rt(w);
  unsignedImm(r, (w >>> 12) & 0xff);
};
/** Only RT */
export const rtOnly: Layout = (w, r) => {
  r.a = rt(w);
};
/** TO, RA, RB or signed immediate */
export const toRaRb: Layout = (w, r) => {
  r.a = fieldRT(w);
  r.b = ra(w);
  r.c = rb(w);
};
export const toRaSi: Layout = (w, r) => {
  r.a = fieldRT(w);
  r.b = ra(w);
  signedImm(r, signed16(w));
};
/** No operands: barriers, and instructions whose word the TypeScript side looks at. */
export const noOperands: Layout = () => {};

/** Bits mb..me of a 64-bit mask, wrapping when mb > me (MASK() of the ISA), into the immediate. */
export function maskImm(r: RecordFields, mb: number, me: number): void {
  const from = (bit: number): [number, number] => (bit >= 32 ? [0, -1 >>> (bit - 32)] : [-1 >>> bit, -1]);
  const [fromHi, fromLo] = from(mb);
  const [pastHi, pastLo] = me === 63 ? [0, 0] : from(me + 1);
  const wraps = mb > me;
  r.immHi = (wraps ? fromHi | ~pastHi : fromHi & ~pastHi) | 0;
  r.immLo = (wraps ? fromLo | ~pastLo : fromLo & ~pastLo) | 0;
}
