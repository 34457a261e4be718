// Arithmetic, logic, shifts and bits. Rows are in the notation of the manual (see form.ts); the first row that takes the
// operands is used, so short forms come first. Source: Intel SDM volume 2, "Instruction Set Reference".

/** One of the eight operations whose opcodes are laid out alike: add, or, adc, sbb, and, sub, xor, cmp. */
function alu(n: number): readonly string[] {
  const op = (low: number): string => (8 * n + low).toString(16).padStart(2, "0");
  return [
    `al imm8: ${op(4)} ib`,
    `rm imms8: 83 /${n} ib`,
    `a imm: ${op(5)} i`,
    `rm8 imm8: 80 /${n} ib`,
    `rm imm: 81 /${n} i`,
    `rm8 r8: ${op(0)} /r`,
    `rm r: ${op(1)} /r`,
    `r8 rm8: ${op(2)} /r`,
    `r rm: ${op(3)} /r`,
  ];
}

const unary = (digit: number): readonly string[] => [`rm8: F6 /${digit}`, `rm: F7 /${digit}`];

const shift = (digit: number): readonly string[] => [
  `rm8 1: D0 /${digit}`,
  `rm 1: D1 /${digit}`,
  `rm8 cl: D2 /${digit}`,
  `rm cl: D3 /${digit}`,
  `rm8 imm8: C0 /${digit} ib`,
  `rm imm8: C1 /${digit} ib`,
];

const bit = (digit: number): readonly string[] => [
  `rm r: 0F ${(0x83 + 8 * digit).toString(16)} /r`,
  `rm imm8: 0F BA /${digit} ib`,
];

export const ARITHMETIC = {
  add: alu(0),
  or: alu(1),
  adc: alu(2),
  sbb: alu(3),
  and: alu(4),
  sub: alu(5),
  xor: alu(6),
  cmp: alu(7),
  test: [
    "al imm8: A8 ib",
    "a imm: A9 i",
    "rm8 imm8: F6 /0 ib",
    "rm imm: F7 /0 i",
    "rm8 r8: 84 /r",
    "rm r: 85 /r",
    "r8 rm8: 84 /r",
    "r rm: 85 /r",
  ],
  not: unary(2),
  neg: unary(3),
  mul: unary(4),
  div: unary(6),
  idiv: unary(7),
  imul: [...unary(5), "r rm: 0F AF /r", "r rm imms8: 6B /r ib", "r rm imm: 69 /r i"],
  inc: ["re: only16 40 +r", "rm8: FE /0", "rm: FF /0"],
  dec: ["re: only16 48 +r", "rm8: FE /1", "rm: FF /1"],
  rol: shift(0),
  ror: shift(1),
  shl: shift(4),
  shr: shift(5),
  sar: shift(7),
  bt: bit(4),
  bts: bit(5),
  btr: bit(6),
  btc: bit(7),
  bsf: ["r rm: 0F BC /r"],
  bsr: ["r rm: 0F BD /r"],
  bswap: ["r: 0F C8 +r"],
  cmpxchg: ["rm8 r8: 0F B0 /r", "rm r: 0F B1 /r"],
  xadd: ["rm8 r8: 0F C0 /r", "rm r: 0F C1 /r"],
  xchg: ["rm8 r8: 86 /r", "rm r: 87 /r", "r8 rm8: 86 /r", "r rm: 87 /r"],
  clc: ["F8"],
  stc: ["F9"],
} satisfies Record<string, readonly string[]>;
