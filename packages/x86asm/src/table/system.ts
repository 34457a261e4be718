// Branches, and what operating systems do: interrupts, tables, model-specific registers, barriers. Notation: form.ts.

/** Conditions by the low digit of their opcodes. */
const CONDITIONS = {
  o: 0,
  no: 1,
  b: 2,
  c: 2,
  nae: 2,
  nb: 3,
  nc: 3,
  ae: 3,
  e: 4,
  z: 4,
  ne: 5,
  nz: 5,
  be: 6,
  na: 6,
  a: 7,
  nbe: 7,
  s: 8,
  ns: 9,
  p: 10,
  np: 11,
  l: 12,
  nge: 12,
  ge: 13,
  nl: 13,
  le: 14,
  ng: 14,
  g: 15,
  nle: 15,
} as const;

type Condition = keyof typeof CONDITIONS;
type Conditional = { readonly [C in Condition as `j${C}` | `set${C}` | `cmov${C}`]: readonly string[] };

function conditional(): Conditional {
  const rows = Object.entries(CONDITIONS).flatMap(([name, n]) => [
    [`j${name}`, [`rel: 0F 8${n.toString(16)} rel`]],
    [`set${name}`, [`rm8: 0F 9${n.toString(16)} /0`]],
    [`cmov${name}`, [`r rm: 0F 4${n.toString(16)} /r`]],
  ]);
  return Object.fromEntries(rows) as Conditional;
}

export const SYSTEM = {
  ...conditional(),
  jmp: ["rel: E9 rel", "rm: d64 FF /4"],
  /** A branch that reaches 127 bytes. */
  jmps: ["rel8: EB rel8"],
  /** From 16-bit mode to a 32-bit offset in another code segment: (offset, selector). */
  ljmp: ["imm32 imm16: only16 o32 EA id iw"],
  loop: ["rel8: E2 rel8"],
  call: ["rel: E8 rel", "rm: d64 FF /2"],
  ret: ["C3", "imm16: C2 iw"],
  /** Pops instruction pointer and code segment, 64 bits each. */
  retfq: ["o64 CB"],

  int3: ["CC"],
  int: ["imm8: CD ib"],
  iret: ["CF"],
  iretd: ["o32 CF"],
  iretq: ["o64 CF"],
  syscall: ["only64 0F 05"],
  swapgs: ["only64 0F 01 F8"],
  ud2: ["0F 0B"],
  cli: ["FA"],
  sti: ["FB"],
  hlt: ["F4"],
  nop: ["90"],
  pause: ["F3 90"],

  lgdt: ["m: 0F 01 /2"],
  /** In 16-bit mode with all 32 bits of the base. */
  lgdtl: ["m: only16 o32 0F 01 /2"],
  lidt: ["m: 0F 01 /3"],
  lidtl: ["m: only16 o32 0F 01 /3"],
  ltr: ["rm16: 0F 00 /3"],
  lmsw: ["rm16: 0F 01 /6"],
  invlpg: ["m: 0F 01 /7"],
  clts: ["0F 06"],
  wbinvd: ["0F 09"],
  rdmsr: ["0F 32"],
  wrmsr: ["0F 30"],
  rdtsc: ["0F 31"],
  cpuid: ["0F A2"],
  vmcall: ["0F 01 C1"],
  mfence: ["0F AE F0"],
  lfence: ["0F AE E8"],
  sfence: ["0F AE F8"],

  /** Prefixes, each before the instruction that it goes with. */
  lock: ["F0"],
  es: ["26"],
  cs: ["2E"],
  ss: ["36"],
  ds: ["3E"],
  fs: ["64"],
  gs: ["65"],
} satisfies Record<string, readonly string[]>;
