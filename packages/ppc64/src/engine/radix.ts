// Radix address translation, process-scoped only: the guest has no partition-scoped table, guest real is machine real.
// Entries are big-endian in memory whatever MSR[LE] says. Reference and change bits are updated in the table.
// Source: Power ISA 3.0B Book III 5.7; limits as in the kernel's radix-64k and radix-4k page tables.

import {
  DSISR_BAD_RADIX,
  DSISR_NO_TRANSLATION,
  DSISR_PROTECTION,
  MSR_DR,
  MSR_IR,
  SPR_AMR,
  SPR_IAMR,
  SPR_PIDR,
  SRR1_NO_EXECUTE,
} from "./bits.ts";
import type { RealMemory } from "./real-memory.ts";
import type { CpuState } from "./state.ts";

export const Access = { load: 0, store: 1, fetch: 2 } as const;

/** Cause of a failed translation that is no storage interrupt but a segment interrupt. */
export const SEGMENT_FAULT = 1;

const ADDRESS_BITS = 52;
const PTE_VALID_HI = 0x80000000;
const PTE_LEAF_HI = 0x40000000;
const PTE_RPN_HI = 0x01ffffff;
const PTE_ATTRIBUTES = 0x30;
const PTE_TOLERANT = 0x30;
const PTE_INHIBITED = 0x20;
const PTE_PRIVILEGED = 8;
const PTE_READ = 4;
const PTE_WRITE = 2;
const PTE_EXECUTE = 1;
const PTE_REFERENCE = 0x100;
const PTE_CHANGE = 0x80;
const TABLE_BASE_HI = 0x0fffffff;

/** Translates effective addresses; the last result stays in its fields so that nothing is allocated. */
export class RadixMmu {
  realLo = 0;
  realHi = 0;
  /** The last translation found a page of tolerant I/O: caching inhibited, not guarded. */
  tolerant = false;
  /** It found a page whose accesses bypass the caches: I/O, tolerant or not. */
  inhibited = false;
  /** Bits for DSISR or SRR1, or SEGMENT_FAULT, when translate() returned false. */
  cause = 0;
  private readonly state: CpuState;
  private readonly real: RealMemory;
  private tableBase = 0;
  private tableBytes = 0;
  private entryHi = 0;
  private entryLo = 0;

  constructor(state: CpuState, real: RealMemory) {
    this.state = state;
    this.real = real;
  }

  /** H_REGISTER_PROC_TBL: real address of the process table and log2 of its size in bytes. */
  setProcessTable(base: number, sizeLog2: number): void {
    this.tableBase = base;
    this.tableBytes = 2 ** sizeLog2;
  }

  /** Byte address of the last result in the WebAssembly memory, 0 where no memory is. */
  host(write: boolean): number {
    return this.real.hostOf(this.realLo, this.realHi, write);
  }

  /** True when realLo/realHi hold the real address of ea. */
  translate(eaLo: number, eaHi: number, access: number): boolean {
    const msr = this.state.msrLo;
    if ((msr & (access === Access.fetch ? MSR_IR : MSR_DR)) === 0) {
      this.realLo = eaLo >>> 0;
      this.realHi = eaHi & 0x0fffffff;
      // Guarded, as everything is while relocation is off.
      this.tolerant = false;
      this.inhibited = false;
      return true;
    }
    const quadrant = eaHi >>> 30;
    if (quadrant === 1 || quadrant === 2 || (eaHi & 0x3ff00000) !== 0) return this.fail(SEGMENT_FAULT);
    const pid = quadrant === 3 ? 0 : this.state.sprLo(SPR_PIDR);
    if (16 * pid >= this.tableBytes || !this.readEntry(this.tableBase + 16 * pid)) return this.fail(DSISR_BAD_RADIX);
    return this.walk(eaLo, eaHi & 0xfffff, access);
  }

  private walk(eaLo: number, eaHi: number, access: number): boolean {
    let bits = ADDRESS_BITS;
    for (;;) {
      // entryHi/Lo is a directory entry here: where the next table lies and how many address bits index it.
      const width = this.entryLo & 31;
      const shift = bits - width;
      if (width === 0 || shift < 12 || width > 24) return this.fail(DSISR_BAD_RADIX);
      const index = shift >= 32 ? eaHi >>> (shift - 32) : (eaHi << (32 - shift)) | (eaLo >>> shift);
      const at =
        (this.entryHi & TABLE_BASE_HI) * 2 ** 32 +
        ((this.entryLo & 0xffffff00) >>> 0) +
        8 * (index & ((1 << width) - 1));
      if (!this.readEntry(at)) return this.fail(DSISR_BAD_RADIX);
      if ((this.entryHi & PTE_VALID_HI) === 0) return this.fail(DSISR_NO_TRANSLATION);
      bits = shift;
      if ((this.entryHi & PTE_LEAF_HI) !== 0) return this.leaf(at, bits, eaLo, eaHi, access);
    }
  }

  private leaf(at: number, bits: number, eaLo: number, eaHi: number, access: number): boolean {
    const { entryHi, entryLo } = this;
    const refused = this.protection(entryLo, access);
    if (refused !== 0) return this.fail(refused);
    const wanted = access === Access.store ? PTE_REFERENCE | PTE_CHANGE : PTE_REFERENCE;
    if ((entryLo & wanted) !== wanted) {
      const { u8 } = this.state;
      const byte = this.real.hostAt(at, true);
      u8[byte + 6]! |= wanted >>> 8;
      u8[byte + 7]! |= wanted & 0xff;
    }
    const offsetLo = bits >= 32 ? 0xffffffff : 2 ** bits - 1;
    const offsetHi = bits > 32 ? 2 ** (bits - 32) - 1 : 0;
    this.realLo = ((entryLo & 0xfffff000 & ~offsetLo) | (eaLo & offsetLo)) >>> 0;
    this.realHi = ((entryHi & PTE_RPN_HI & ~offsetHi) | (eaHi & offsetHi)) >>> 0;
    this.tolerant = (entryLo & PTE_ATTRIBUTES) === PTE_TOLERANT;
    this.inhibited = (entryLo & PTE_INHIBITED) !== 0;
    return true;
  }

  /** 0 when the access is allowed. In privileged state AMR and IAMR restrict pages that problem state may use. */
  private protection(pte: number, access: number): number {
    const problem = this.state.problemState;
    const privilegedPage = (pte & PTE_PRIVILEGED) !== 0;
    if (access === Access.fetch) {
      if (problem && privilegedPage) return DSISR_PROTECTION;
      if ((pte & PTE_EXECUTE) === 0 || (pte & PTE_ATTRIBUTES) >= 0x20) return SRR1_NO_EXECUTE;
      const blocked = !problem && !privilegedPage && (this.state.sprHi(SPR_IAMR) & 0x40000000) !== 0;
      return blocked ? SRR1_NO_EXECUTE : 0;
    }
    if (problem && privilegedPage) return DSISR_PROTECTION;
    const needed = access === Access.store ? PTE_WRITE : PTE_READ | PTE_WRITE;
    if ((pte & needed) === 0) return DSISR_PROTECTION;
    if (problem || privilegedPage) return 0;
    const blockedBy = access === Access.store ? 0x80000000 : 0x40000000;
    return (this.state.sprHi(SPR_AMR) & blockedBy) !== 0 ? DSISR_PROTECTION : 0;
  }

  private readEntry(at: number): boolean {
    const byte = this.real.hostAt(at, false);
    if (byte === 0) return false;
    const { u8 } = this.state;
    this.entryHi = ((u8[byte]! << 24) | (u8[byte + 1]! << 16) | (u8[byte + 2]! << 8) | u8[byte + 3]!) >>> 0;
    this.entryLo = ((u8[byte + 4]! << 24) | (u8[byte + 5]! << 16) | (u8[byte + 6]! << 8) | u8[byte + 7]!) >>> 0;
    return true;
  }

  private fail(cause: number): false {
    this.cause = cause;
    return false;
  }
}
