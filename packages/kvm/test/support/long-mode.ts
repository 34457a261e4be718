// Long mode for a test guest, set up from outside: page tables that map the first 4 GiB to themselves with 2 MiB pages, a
// GDT, and an IDT whose gates lead to the program's labels. Source: Intel SDM volume 3, chapters 3 to 6.

import type { StructValue } from "@minivmm/host";
import type { KvmVcpu, kvm_segment } from "../../src/index.ts";

const GDT = 0x10000;
const IDT = 0x11000;
const PML4 = 0x12000;
const PDPT = 0x13000;
/** Four pages, for 1 GiB each. */
const PAGE_DIRECTORIES = 0x14000;

const CODE = 0x08;
const DATA = 0x10;
const PRESENT_WRITABLE = 3n;
const LARGE = 0x80n;
const CR0_PE_ET_NE_WP_PG = 0x8001_0031n;
const CR4_PAE = 0x20n;
const EFER_LME_LMA = 0x500n;
const INTERRUPT_GATE = 0x8e;

type Segment = StructValue<typeof kvm_segment>;

function segment(selector: number, type: number, extra: Partial<Segment>): Segment {
  return {
    base: 0n,
    limit: 0xffff_ffff,
    selector,
    type,
    present: 1,
    dpl: 0,
    db: 0,
    s: 1,
    l: 0,
    g: 1,
    avl: 0,
    unusable: 0,
    ...extra,
  };
}

/** Puts the tables into RAM and the vCPU into 64-bit mode; registers are the caller's. */
export function enterLongMode(vcpu: KvmVcpu, ram: Uint8Array): void {
  const memory = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  memory.setBigUint64(GDT + CODE, 0x00af_9b00_0000_ffffn, true);
  memory.setBigUint64(GDT + DATA, 0x00cf_9300_0000_ffffn, true);
  memory.setBigUint64(PML4, BigInt(PDPT) | PRESENT_WRITABLE, true);
  for (let gib = 0; gib < 4; gib++) {
    const directory = PAGE_DIRECTORIES + gib * 0x1000;
    memory.setBigUint64(PDPT + gib * 8, BigInt(directory) | PRESENT_WRITABLE, true);
    for (let n = 0; n < 512; n++) {
      const page = BigInt(gib * 2 ** 30 + n * 2 ** 21);
      memory.setBigUint64(directory + n * 8, page | LARGE | PRESENT_WRITABLE, true);
    }
  }
  const data = segment(DATA, 3, { db: 1 });
  vcpu.setSregs({
    ...vcpu.getSregs(),
    cs: segment(CODE, 11, { l: 1 }),
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: segment(0, 11, { s: 0, g: 0, limit: 0x67 }),
    ldt: segment(0, 2, { s: 0, unusable: 1 }),
    gdt: { base: BigInt(GDT), limit: 0x17 },
    idt: { base: BigInt(IDT), limit: 0xfff },
    cr0: CR0_PE_ET_NE_WP_PG,
    cr3: BigInt(PML4),
    cr4: CR4_PAE,
    efer: EFER_LME_LMA,
  });
}

/** Leads an interrupt to an address below 64 KiB. */
export function setGate(ram: Uint8Array, vector: number, handler: number): void {
  const memory = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  const gate = IDT + vector * 16;
  memory.setUint16(gate, handler, true);
  memory.setUint16(gate + 2, CODE, true);
  memory.setUint8(gate + 5, INTERRUPT_GATE);
}
