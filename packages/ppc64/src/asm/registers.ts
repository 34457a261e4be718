// Names for operands, so that guest programs read like assembly: a.addi(r3, 0, 1), a.beq(cr7, "done").
// Registers are plain numbers; SPR numbers are those of Power ISA 3.0B, Book III figure 18.

export const [r0, r1, r2, r3, r4, r5, r6, r7] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
export const [r8, r9, r10, r11, r12, r13, r14, r15] = [8, 9, 10, 11, 12, 13, 14, 15] as const;
export const [r16, r17, r18, r19, r20, r21, r22, r23] = [16, 17, 18, 19, 20, 21, 22, 23] as const;
export const [r24, r25, r26, r27, r28, r29, r30, r31] = [24, 25, 26, 27, 28, 29, 30, 31] as const;
export const [cr0, cr1, cr2, cr3, cr4, cr5, cr6, cr7] = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** Bits of a condition field. */
export const CR_LT = 0;
export const CR_GT = 1;
export const CR_EQ = 2;
export const CR_SO = 3;

/** Number of a condition-register bit, for crand, isel, bc, ...: crBit(7, CR_EQ) is 4*cr7+eq. */
export function crBit(field: number, bit: number): number {
  return field * 4 + bit;
}

export const SPR_XER = 1;
export const SPR_LR = 8;
export const SPR_CTR = 9;
export const SPR_DSISR = 18;
export const SPR_DAR = 19;
export const SPR_DEC = 22;
export const SPR_SRR0 = 26;
export const SPR_SRR1 = 27;
export const SPR_PIDR = 48;
export const SPR_TB = 268;
export const SPR_SPRG0 = 272;
export const SPR_SPRG1 = 273;
export const SPR_SPRG2 = 274;
export const SPR_SPRG3 = 275;
export const SPR_PVR = 287;
