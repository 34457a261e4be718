// Registers by name, with their number in an instruction. Source: Intel SDM volume 2, tables 2-2 and 3-1.

export type Width = 1 | 2 | 4 | 8;

export interface Register {
  readonly kind: "general" | "segment" | "control";
  readonly name: string;
  /** 0 to 15. */
  readonly code: number;
  /** Bytes. */
  readonly width: Width;
  /** Numbers 4 to 7 of 1-byte registers mean ah to bh without a REX prefix, and spl to dil with one. */
  readonly rex?: "needed" | "impossible";
}

type Registers<N extends readonly string[]> = { readonly [K in keyof N]: Register };

function registers<const N extends readonly string[]>(
  kind: Register["kind"],
  width: Width,
  names: N,
  first = 0,
): Registers<N> {
  const made = names.map((name, n) => ({ kind, name, code: first + n, width }));
  return made as unknown as Registers<N>;
}

function bytes<const N extends readonly string[]>(rex: "needed" | "impossible", names: N): Registers<N> {
  return registers("general", 1, names, 4).map((r) => ({ ...r, rex })) as unknown as Registers<N>;
}

export const [al, cl, dl, bl] = registers("general", 1, ["al", "cl", "dl", "bl"]);
export const [ah, ch, dh, bh] = bytes("impossible", ["ah", "ch", "dh", "bh"]);
export const [spl, bpl, sil, dil] = bytes("needed", ["spl", "bpl", "sil", "dil"]);
export const [r8b, r9b, r10b, r11b, r12b, r13b, r14b, r15b] = registers(
  "general",
  1,
  ["r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"],
  8,
);

export const [ax, cx, dx, bx, sp, bp, si, di] = registers("general", 2, [
  "ax",
  "cx",
  "dx",
  "bx",
  "sp",
  "bp",
  "si",
  "di",
]);
export const [r8w, r9w, r10w, r11w, r12w, r13w, r14w, r15w] = registers(
  "general",
  2,
  ["r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"],
  8,
);

export const [eax, ecx, edx, ebx, esp, ebp, esi, edi] = registers("general", 4, [
  "eax",
  "ecx",
  "edx",
  "ebx",
  "esp",
  "ebp",
  "esi",
  "edi",
]);
export const [r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d] = registers(
  "general",
  4,
  ["r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"],
  8,
);

export const [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi] = registers("general", 8, [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
]);
export const [r8, r9, r10, r11, r12, r13, r14, r15] = registers(
  "general",
  8,
  ["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
  8,
);

export const [es, cs, ss, ds, fs, gs] = registers("segment", 2, ["es", "cs", "ss", "ds", "fs", "gs"]);
export const [cr0, cr1, cr2, cr3, cr4, cr5, cr6, cr7, cr8] = registers("control", 8, [
  "cr0",
  "cr1",
  "cr2",
  "cr3",
  "cr4",
  "cr5",
  "cr6",
  "cr7",
  "cr8",
]);
