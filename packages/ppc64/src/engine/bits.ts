// Architected numbers: MSR bits, SPR numbers, interrupt vectors and cause bits, as (low, high) halves where needed.
// Source: Power ISA 3.0B Book III chapters 3, 4, 6; names as the kernel's asm/reg.h has them.

/** MSR bits of the low word. */
export const MSR_LE = 0x1;
export const MSR_RI = 0x2;
export const MSR_DR = 0x10;
export const MSR_IR = 0x20;
export const MSR_FE1 = 0x100;
export const MSR_BE = 0x200;
export const MSR_SE = 0x400;
export const MSR_FE0 = 0x800;
export const MSR_ME = 0x1000;
export const MSR_FP = 0x2000;
export const MSR_PR = 0x4000;
export const MSR_EE = 0x8000;
export const MSR_VSX = 0x800000;
export const MSR_VEC = 0x2000000;
/** MSR bits of the high word. */
export const MSR_SF_HI = 0x80000000;
export const MSR_HV_HI = 0x10000000;

export const SPR_XER = 1;
export const SPR_DSCR_USER = 3;
export const SPR_LR = 8;
export const SPR_CTR = 9;
export const SPR_AMR_USER = 13;
export const SPR_DSISR = 18;
export const SPR_DAR = 19;
export const SPR_DEC = 22;
export const SPR_SRR0 = 26;
export const SPR_SRR1 = 27;
export const SPR_AMR = 29;
export const SPR_PIDR = 48;
export const SPR_IAMR = 61;
export const SPR_CTRL_READ = 136;
export const SPR_CTRL_WRITE = 152;
export const SPR_FSCR = 153;
export const SPR_UAMOR = 157;
export const SPR_VRSAVE = 256;
export const SPR_SPRG3_USER = 259;
export const SPR_TB = 268;
export const SPR_TBU = 269;
export const SPR_SPRG0 = 272;
export const SPR_SPRG3 = 275;
export const SPR_TBL_WRITE = 284;
export const SPR_TBU_WRITE = 285;
export const SPR_PVR = 287;
export const SPR_TAR = 815;
export const SPR_VTB = 849;
export const SPR_PPR = 896;
export const SPR_PPR32 = 898;
export const SPR_PIR = 1023;

export const VECTOR_MACHINE_CHECK = 0x200;
export const VECTOR_DATA_STORAGE = 0x300;
export const VECTOR_DATA_SEGMENT = 0x380;
export const VECTOR_INSTRUCTION_STORAGE = 0x400;
export const VECTOR_INSTRUCTION_SEGMENT = 0x480;
export const VECTOR_EXTERNAL = 0x500;
export const VECTOR_ALIGNMENT = 0x600;
export const VECTOR_PROGRAM = 0x700;
export const VECTOR_FP_UNAVAILABLE = 0x800;
export const VECTOR_DECREMENTER = 0x900;
export const VECTOR_SYSTEM_CALL = 0xc00;
export const VECTOR_VMX_UNAVAILABLE = 0xf20;
export const VECTOR_VSX_UNAVAILABLE = 0xf40;
export const VECTOR_FACILITY_UNAVAILABLE = 0xf60;

/** SRR1 causes of the program interrupt. */
export const PROGRAM_ILLEGAL = 0x80000;
export const PROGRAM_PRIVILEGED = 0x40000;
export const PROGRAM_TRAP = 0x20000;

/** DSISR causes; the first two are the same bits in SRR1 of an instruction storage interrupt. */
export const DSISR_NO_TRANSLATION = 0x40000000;
export const DSISR_PROTECTION = 0x08000000;
export const DSISR_STORE = 0x02000000;
export const DSISR_KEY = 0x00200000;
export const DSISR_BAD_RADIX = 0x00080000;
export const SRR1_NO_EXECUTE = 0x10000000;

/** Facility numbers in FSCR(0:7) of a facility unavailable interrupt. */
export const FSCR_TAR_BIT = 8;
export const FACILITY_SCV = 12;
