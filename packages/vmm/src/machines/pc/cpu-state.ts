// The state that the first CPU of machine pc starts in: the 64-bit entry of Linux's boot protocol, in long mode with
// paging, flat segments and interrupts off. The other CPUs wait for the first one's start-up interrupt and need none of
// this but the MSRs, which Linux wants equal on all.
// Source: Linux Documentation/arch/x86/boot.rst ("64-bit BOOT PROTOCOL"); Intel 64 SDM volume 3, 2.5 and 10.1.
import type { StructValue } from "@minivmm/host";
import { kvm_regs, kvm_segment, type kvm_sregs } from "@minivmm/kvm";
import type { X86Boot } from "../../boot/x86/load.ts";
import { BOOT_CODE_SELECTOR, BOOT_DATA_SELECTOR } from "../../boot/x86/page-tables.ts";

type Regs = StructValue<typeof kvm_regs>;
type Sregs = StructValue<typeof kvm_sregs>;
type Segment = StructValue<typeof kvm_segment>;

/** PE MP ET NE WP AM PG. */
const CR0 = 0x8005_0033n;
const CR4_PAE = 0x20n;
/** LME and LMA. */
const EFER = 0x500n;
/** Bit 1 is always set; IF is clear. */
const RFLAGS = 2n;

const SEGMENT_CODE = 11;
const SEGMENT_DATA = 3;
const SEGMENT_LDT = 2;
const SEGMENT_BUSY_TSS = 11;

/** `struct kvm_fpu` fields that are not zero after FNINIT. */
export const BOOT_FPU = { fcw: 0x37f, mxcsr: 0x1f80 } as const;

const MSR_IA32_MISC_ENABLE = 0x1a0;
const MSR_IA32_CR_PAT = 0x277;
const MSR_MTRRdefType = 0x2ff;

/**
 * What firmware leaves behind, on every CPU: fast strings on, the page attribute table of a reset, memory write-back
 * (MTRRs on, none of them in use: with fixed ones on, the first MiB would be uncached).
 */
export const BOOT_MSRS: readonly { readonly index: number; readonly data: bigint }[] = [
  { index: MSR_IA32_MISC_ENABLE, data: 1n },
  { index: MSR_IA32_CR_PAT, data: 0x0007_0406_0007_0406n },
  { index: MSR_MTRRdefType, data: 0x806n },
];

/** The first CPU's registers; `reset` are those it has after KVM_CREATE_VCPU, whose APIC base is kept. */
export function bootCpuState(reset: Sregs, boot: X86Boot): { readonly regs: Regs; readonly sregs: Sregs } {
  const data = flat(BOOT_DATA_SELECTOR, SEGMENT_DATA);
  const sregs: Sregs = {
    ...reset,
    cs: { ...flat(BOOT_CODE_SELECTOR, SEGMENT_CODE), l: 1, db: 0 },
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: { ...NOTHING, limit: 0x67, type: SEGMENT_BUSY_TSS, present: 1 },
    ldt: { ...NOTHING, type: SEGMENT_LDT, unusable: 1 },
    gdt: { base: BigInt(boot.gdt.base), limit: boot.gdt.limit },
    // No exception has a handler: the first one would end in a shutdown, which is seen.
    idt: { base: 0n, limit: 0 },
    cr0: CR0,
    cr2: 0n,
    cr3: BigInt(boot.cr3),
    cr4: CR4_PAE,
    cr8: 0n,
    efer: EFER,
    interrupt_bitmap: [0n, 0n, 0n, 0n],
  };
  const regs: Regs = { ...kvm_regs.zero(), rip: BigInt(boot.entry), rsi: BigInt(boot.bootParams), rflags: RFLAGS };
  return { regs, sregs };
}

const NOTHING: Segment = kvm_segment.zero();

/** A segment of all 4 GiB. */
function flat(selector: number, type: number): Segment {
  return { ...NOTHING, selector, type, limit: 0xffff_ffff, present: 1, db: 1, s: 1, g: 1 };
}
