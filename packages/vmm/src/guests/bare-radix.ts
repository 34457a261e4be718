// Radix page tables of a bare guest, and turning relocation on. The tables are data of the program, built here: one process
// (PID 0), a tree of 13, 9 and 9 bits whose leaves are pages of 2 MiB with the storage attribute that each mapping asks for.
// Source: Power ISA 3.0B Book III 5.7.6 (process table), 5.7.10 (tree and attributes); PAPR 2.9 H_REGISTER_PROC_TBL.
import { H_REGISTER_PROC_TBL } from "@minivmm/kvm";
import { r3, r4, r5, r6, r7, SPR_SRR0, SPR_SRR1 } from "@minivmm/ppc64/asm";
import { type RadixAttribute, radixBits } from "../attributes/power.ts";
import { failUnlessZero } from "./bare-steps.ts";
import type { GuestCode } from "./guest-code.ts";

/** Addresses and size are multiples of 2 MiB; effective addresses lie below 512 GiB. */
export interface RadixMapping {
  readonly effective: number;
  readonly real: number;
  readonly bytes: number;
  readonly attribute: RadixAttribute;
}

export const RADIX_PAGE = 0x20_0000;

const ROOT_BITS = 13;
const LEVEL_BITS = 9;
const ROOT_BYTES = 8 << ROOT_BITS;
const TABLE_BYTES = 8 << LEVEL_BITS;
const ROOT_SHIFT = 39;
const SECOND_SHIFT = 30;
const LEAF_SHIFT = 21;
const PTE_VALID = 1n << 63n;
const PTE_LEAF = 1n << 62n;
/** Privileged, read, write, execute; referenced and changed already. */
const PTE_RIGHTS = 0x18fn;
/** Radix tree size of 52 bits (31 + 21), split over both ends of the word as the architecture has it. */
const TREE_SIZE = (0b10n << 61n) | (0b101n << 5n);
const PROCESS_TABLE_LOG2 = 12;
const PROC_TBL_NEW_RADIX = 0x1c;
/** SF, ME, IR, DR, RI, LE. */
const MSR_RELOCATED = 0x8000000000001033n;

/** Tables for a guest real address, a multiple of 64 KiB: the root, the process table, then the other levels. */
export class RadixTables {
  readonly base: number;
  private readonly entries = new Map<number, bigint>();
  private end: number;

  constructor(base: number, mappings: readonly RadixMapping[]) {
    this.base = base;
    this.end = base + ROOT_BYTES + 2 ** PROCESS_TABLE_LOG2;
    this.entries.set(this.processTable, TREE_SIZE | BigInt(base) | BigInt(ROOT_BITS));
    for (const { effective, real, bytes, attribute } of mappings) {
      for (let at = 0; at < bytes; at += RADIX_PAGE) this.map(effective + at, real + at, attribute);
    }
  }

  get processTable(): number {
    return this.base + ROOT_BYTES;
  }

  /** What lies at `base`: big-endian doublewords. */
  bytes(): Uint8Array {
    const view = new DataView(new ArrayBuffer(this.end - this.base));
    for (const [at, entry] of this.entries) view.setBigUint64(at - this.base, entry);
    return new Uint8Array(view.buffer);
  }

  private map(effective: number, real: number, attribute: RadixAttribute): void {
    const second = this.below(this.base, index(effective, ROOT_SHIFT, ROOT_BITS));
    const leaves = this.below(second, index(effective, SECOND_SHIFT, LEVEL_BITS));
    const leaf = PTE_VALID | PTE_LEAF | BigInt(real) | BigInt(radixBits(attribute)) | PTE_RIGHTS;
    this.entries.set(leaves + 8 * index(effective, LEAF_SHIFT, LEVEL_BITS), leaf);
  }

  /** The table that an entry of another one leads to, made when it is not there. */
  private below(table: number, entry: number): number {
    const at = table + 8 * entry;
    const there = this.entries.get(at);
    if (there !== undefined) return Number(there & 0x0fffffffffffff00n);
    const made = this.end;
    this.end += TABLE_BYTES;
    this.entries.set(at, PTE_VALID | BigInt(made) | BigInt(LEVEL_BITS));
    return made;
  }
}

function index(address: number, shift: number, bits: number): number {
  return Math.floor(address / 2 ** shift) % 2 ** bits;
}

/** Goes on with relocation on; the code must be mapped at its own address. */
export function emitRelocation(code: GuestCode, tables: RadixTables): void {
  const { a } = code;
  a.li(r3, H_REGISTER_PROC_TBL);
  a.li(r4, PROC_TBL_NEW_RADIX);
  a.li64(r5, tables.processTable);
  a.li(r6, 0);
  a.li(r7, PROCESS_TABLE_LOG2 - 12);
  a.sc(1);
  failUnlessZero(code, "registering the process table, hypercall status");
  const relocated = code.fresh("relocated");
  a.la(r3, relocated);
  a.mtspr(SPR_SRR0, r3);
  a.li64(r4, MSR_RELOCATED);
  a.mtspr(SPR_SRR1, r4);
  a.rfid();
  a.label(relocated);
}
