// Extended mnemonics: short names for common settings of an instruction's operands.
// Source: Power ISA 3.0B, Book I appendix C. Each entry gives the base mnemonic and its operands.

import { SPR_CTR, SPR_LR, SPR_XER } from "./registers.ts";

export type Operand = number | string;
export type Expansion = readonly [mnemonic: string, ...operands: Operand[]];

/** BO values without hints. */
const BO_FALSE = 4;
const BO_TRUE = 12;
const BO_DNZ = 16;
const BO_DZ = 18;
const BO_ALWAYS = 20;

/** Compares take the condition field first, or leave it out for cr0. */
function compare(base: string, l: 0 | 1) {
  return (...args: [bf: number, ra: number, b: number] | [ra: number, b: number]): Expansion => {
    const [bf, ra, b] = args.length === 3 ? args : [0, ...args];
    return [base, bf, l, ra, b];
  };
}

/** Conditional branches take the condition field first, or leave it out for cr0. */
function branch(base: string, bo: number, bit: number) {
  return (...args: [bf: number, target: Operand] | [target: Operand]): Expansion => {
    const [bf, target] = args.length === 2 ? args : [0, ...args];
    return [base, bo, bf * 4 + bit, target];
  };
}

function branchTo(base: string, bo: number, bit: number) {
  return (bf = 0): Expansion => [base, bo, bf * 4 + bit];
}

function trap(base: string, to: number) {
  return (ra: number, b: number): Expansion => [base, to, ra, b];
}

const arithmetic = {
  li: (rt: number, si: number): Expansion => ["addi", rt, 0, si],
  lis: (rt: number, si: number): Expansion => ["addis", rt, 0, si],
  subi: (rt: number, ra: number, si: number): Expansion => ["addi", rt, ra, -si],
  subis: (rt: number, ra: number, si: number): Expansion => ["addis", rt, ra, -si],
  sub: (rt: number, ra: number, rb: number): Expansion => ["subf", rt, rb, ra],
  subc: (rt: number, ra: number, rb: number): Expansion => ["subfc", rt, rb, ra],
  lnia: (rt: number): Expansion => ["addpcis", rt, 0],
  mr: (ra: number, rs: number): Expansion => ["or", ra, rs, rs],
  not: (ra: number, rs: number): Expansion => ["nor", ra, rs, rs],
  nop: (): Expansion => ["ori", 0, 0, 0],
  cmpwi: compare("cmpi", 0),
  cmpdi: compare("cmpi", 1),
  cmpw: compare("cmp", 0),
  cmpd: compare("cmp", 1),
  cmplwi: compare("cmpli", 0),
  cmpldi: compare("cmpli", 1),
  cmplw: compare("cmpl", 0),
  cmpld: compare("cmpl", 1),
};

const shifts = {
  sldi: (ra: number, rs: number, n: number): Expansion => ["rldicr", ra, rs, n, 63 - n],
  srdi: (ra: number, rs: number, n: number): Expansion => ["rldicl", ra, rs, (64 - n) & 63, n],
  clrldi: (ra: number, rs: number, n: number): Expansion => ["rldicl", ra, rs, 0, n],
  clrrdi: (ra: number, rs: number, n: number): Expansion => ["rldicr", ra, rs, 0, 63 - n],
  clrlsldi: (ra: number, rs: number, b: number, n: number): Expansion => ["rldic", ra, rs, n, b - n],
  extldi: (ra: number, rs: number, n: number, b: number): Expansion => ["rldicr", ra, rs, b, n - 1],
  extrdi: (ra: number, rs: number, n: number, b: number): Expansion => ["rldicl", ra, rs, (b + n) & 63, 64 - n],
  insrdi: (ra: number, rs: number, n: number, b: number): Expansion => ["rldimi", ra, rs, (64 - (b + n)) & 63, b],
  rotldi: (ra: number, rs: number, n: number): Expansion => ["rldicl", ra, rs, n, 0],
  rotld: (ra: number, rs: number, rb: number): Expansion => ["rldcl", ra, rs, rb, 0],
  slwi: (ra: number, rs: number, n: number): Expansion => ["rlwinm", ra, rs, n, 0, 31 - n],
  srwi: (ra: number, rs: number, n: number): Expansion => ["rlwinm", ra, rs, (32 - n) & 31, n, 31],
  clrlwi: (ra: number, rs: number, n: number): Expansion => ["rlwinm", ra, rs, 0, n, 31],
  clrrwi: (ra: number, rs: number, n: number): Expansion => ["rlwinm", ra, rs, 0, 0, 31 - n],
  rotlwi: (ra: number, rs: number, n: number): Expansion => ["rlwinm", ra, rs, n, 0, 31],
  rotlw: (ra: number, rs: number, rb: number): Expansion => ["rlwnm", ra, rs, rb, 0, 31],
};

const branches = {
  blr: (): Expansion => ["bclr", BO_ALWAYS, 0],
  blrl: (): Expansion => ["bclrl", BO_ALWAYS, 0],
  bctr: (): Expansion => ["bcctr", BO_ALWAYS, 0],
  bctrl: (): Expansion => ["bcctrl", BO_ALWAYS, 0],
  blt: branch("bc", BO_TRUE, 0),
  bgt: branch("bc", BO_TRUE, 1),
  beq: branch("bc", BO_TRUE, 2),
  bso: branch("bc", BO_TRUE, 3),
  bge: branch("bc", BO_FALSE, 0),
  ble: branch("bc", BO_FALSE, 1),
  bne: branch("bc", BO_FALSE, 2),
  bns: branch("bc", BO_FALSE, 3),
  bltlr: branchTo("bclr", BO_TRUE, 0),
  bgtlr: branchTo("bclr", BO_TRUE, 1),
  beqlr: branchTo("bclr", BO_TRUE, 2),
  bsolr: branchTo("bclr", BO_TRUE, 3),
  bgelr: branchTo("bclr", BO_FALSE, 0),
  blelr: branchTo("bclr", BO_FALSE, 1),
  bnelr: branchTo("bclr", BO_FALSE, 2),
  bnslr: branchTo("bclr", BO_FALSE, 3),
  beqctr: branchTo("bcctr", BO_TRUE, 2),
  bnectr: branchTo("bcctr", BO_FALSE, 2),
  bdnz: (target: Operand): Expansion => ["bc", BO_DNZ, 0, target],
  bdz: (target: Operand): Expansion => ["bc", BO_DZ, 0, target],
  bt: (bi: number, target: Operand): Expansion => ["bc", BO_TRUE, bi, target],
  bf: (bi: number, target: Operand): Expansion => ["bc", BO_FALSE, bi, target],
};

const system = {
  mtctr: (rs: number): Expansion => ["mtspr", SPR_CTR, rs],
  mfctr: (rt: number): Expansion => ["mfspr", rt, SPR_CTR],
  mtlr: (rs: number): Expansion => ["mtspr", SPR_LR, rs],
  mflr: (rt: number): Expansion => ["mfspr", rt, SPR_LR],
  mtxer: (rs: number): Expansion => ["mtspr", SPR_XER, rs],
  mfxer: (rt: number): Expansion => ["mfspr", rt, SPR_XER],
  mtcr: (rs: number): Expansion => ["mtcrf", 0xff, rs],
  crclr: (bt: number): Expansion => ["crxor", bt, bt, bt],
  crset: (bt: number): Expansion => ["creqv", bt, bt, bt],
  crmove: (bt: number, ba: number): Expansion => ["cror", bt, ba, ba],
  crnot: (bt: number, ba: number): Expansion => ["crnor", bt, ba, ba],
  hwsync: (): Expansion => ["sync", 0],
  lwsync: (): Expansion => ["sync", 1],
  ptesync: (): Expansion => ["sync", 2],
  trap: (): Expansion => ["tw", 31, 0, 0],
  tweqi: trap("twi", 4),
  twnei: trap("twi", 24),
  tdeqi: trap("tdi", 4),
  tdnei: trap("tdi", 24),
  tweq: trap("tw", 4),
  tdne: trap("td", 24),
};

export const EXTENDED = { ...arithmetic, ...shifts, ...branches, ...system };
export type ExtendedName = keyof typeof EXTENDED;
