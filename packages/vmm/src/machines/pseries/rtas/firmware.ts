// The few instructions at the RTAS entry under KVM, where no CPU stops by itself at an address: they hand the argument
// frame on by hypercall. Source: PAPR 2.7 section 7.2.1 (RTAS is called in 32-bit big-endian real mode), QEMU's
// private hypercall number for it (include/hw/ppc/spapr.h, KVMPPC_H_RTAS).
// The code is there in both byte orders behind a branch that goes to the right one, so callers in little-endian mode work
// too. It uses r3 and r4 only and returns to LR.
import { Assembler, r3, r4 } from "@minivmm/ppc64/asm";

/** r4: the frame's real address. */
export const H_RTAS = 0xf000;

/** `tdi 0,0,0x48` never traps; its bytes backwards are `b .+8`. */
const TRAP_NEVER = 0x08000048;

function body(): Uint8Array {
  const a = new Assembler();
  a.mr(r4, r3);
  a.lis(r3, 0);
  a.ori(r3, r3, H_RTAS);
  a.sc(1);
  a.blr();
  return a.bytes();
}

/** The bytes that belong at the entry. */
export function rtasFirmware(): Uint8Array {
  const code = body();
  const head = new Assembler();
  head.word(TRAP_NEVER);
  head.b(8 + code.length);
  const out = new Uint8Array(8 + 2 * code.length);
  out.set(head.bytes());
  out.set(code, 8 + code.length);
  const view = new DataView(out.buffer);
  for (let at = 0; at < code.length; at += 4) view.setUint32(8 + at, view.getUint32(8 + code.length + at, true));
  return out;
}
