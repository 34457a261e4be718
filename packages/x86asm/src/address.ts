// Memory operands as ModRM, SIB and displacement bytes.
// Source: Intel SDM volume 2, section 2.1.5, tables 2-1 (16-bit addresses), 2-2 and 2-3 (32-bit), section 2.2.1.6 (RIP).
// Invariant: in 64-bit mode a label is reached relative to the instruction pointer, in 16-bit mode by its offset.

import { X86AsmError } from "./error.ts";
import type { Bits } from "./form.ts";
import { type Memory, show } from "./operands.ts";
import { holds, holdsSigned } from "./ranges.ts";
import type { Register, Width } from "./registers.ts";

export interface Address {
  /** mod and rm of ModRM. */
  readonly modrm: number;
  /** -1 for none. */
  readonly sib: number;
  /** Bytes of displacement. */
  readonly size: 0 | Width;
  readonly displacement: bigint;
  readonly label: string | null;
  readonly ripRelative: boolean;
  /** Addresses are not as wide as the mode has them: prefix 67. */
  readonly resized: boolean;
  /** REX.X and REX.B. */
  readonly rex: number;
}

const MOD1 = 0x40;
const MOD2 = 0x80;
const DISPLACEMENT_ONLY_16 = 6;
const RIP = 5;
const SIB = 4;
const NO_INDEX = 4;
const NO_BASE = 5;
const PAIRS_16: Readonly<Record<string, number>> = {
  "bx+si": 0,
  "bx+di": 1,
  "bp+si": 2,
  "bp+di": 3,
  si: 4,
  di: 5,
  bp: 6,
  bx: 7,
};

const PLAIN = { modrm: 0, sib: -1, label: null, ripRelative: false, resized: false, rex: 0 };

/** @throws X86AsmError ASM_ADDRESS, ASM_RANGE */
export function encodeAddress(memory: Memory, bits: Bits): Address {
  const { base, index } = memory;
  const width = base?.width ?? index?.width ?? (bits === 16 ? 2 : 8);
  if (index && base && index.width !== base.width) throw wrong(memory, bits, "its registers have two widths");
  if (bits === 16 && width === 2) return encode16(memory);
  if (width === 4 || (width === 8 && bits === 64)) return { ...encode32(memory), resized: bits === 16 || width === 4 };
  throw wrong(memory, bits, `addresses are not ${8 * width} bits wide`);
}

function encode16(memory: Memory): Address {
  const { base, index, scale, displacement, label } = memory;
  if (!holds(displacement, 2)) throw range(memory);
  if (!base && !index) return { ...PLAIN, modrm: DISPLACEMENT_ONLY_16, size: 2, displacement, label };
  const rm = PAIRS_16[[base?.name, index?.name].filter(Boolean).join("+")];
  if (rm === undefined || scale !== 1) throw wrong(memory, 16, "16-bit addresses are made of bx or bp, and si or di");
  const signed = BigInt.asIntN(16, displacement);
  if (signed === 0n && rm !== DISPLACEMENT_ONLY_16) return { ...PLAIN, modrm: rm, size: 0, displacement };
  if (holdsSigned(signed, 1)) return { ...PLAIN, modrm: MOD1 | rm, size: 1, displacement };
  return { ...PLAIN, modrm: MOD2 | rm, size: 2, displacement };
}

function encode32(memory: Memory): Address {
  const { base, index, displacement, label } = memory;
  if (!holdsSigned(displacement, 4)) throw range(memory);
  if (label !== null && index) throw wrong(memory, 64, "a label has no index beside it");
  if (label !== null) return { ...PLAIN, modrm: RIP, size: 4, displacement, label, ripRelative: true };
  const sib = sibByte(memory);
  if (!base) return { ...PLAIN, modrm: SIB, sib, size: 4, displacement, rex: rexOf(index, null) };
  const rm = index || (base.code & 7) === SIB ? { modrm: SIB, sib } : { modrm: base.code & 7, sib: -1 };
  const rex = rexOf(index, base);
  if (displacement === 0n && (base.code & 7) !== NO_BASE) return { ...PLAIN, ...rm, size: 0, displacement, rex };
  const short = holdsSigned(displacement, 1);
  return { ...PLAIN, ...rm, modrm: rm.modrm | (short ? MOD1 : MOD2), size: short ? 1 : 4, displacement, rex };
}

function sibByte(memory: Memory): number {
  const { base, index, scale } = memory;
  if (index?.code === NO_INDEX) throw wrong(memory, 64, "the stack pointer cannot be an index");
  return (Math.log2(scale) << 6) | ((index ? index.code & 7 : NO_INDEX) << 3) | (base ? base.code & 7 : NO_BASE);
}

function rexOf(index: Register | null, base: Register | null): number {
  return (index && index.code > 7 ? 2 : 0) | (base && base.code > 7 ? 1 : 0);
}

function wrong(memory: Memory, bits: Bits, why: string): X86AsmError {
  return new X86AsmError(`${show(memory)} is no address in ${bits}-bit mode: ${why}`, {
    code: "ASM_ADDRESS",
    details: { memory: show(memory), bits },
  });
}

function range(memory: Memory): X86AsmError {
  return new X86AsmError(`the displacement of ${show(memory)} does not fit the instruction`, {
    code: "ASM_RANGE",
    details: { memory: show(memory) },
    hint: "Load the address into a register first.",
  });
}
