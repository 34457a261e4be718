// Builds one bare little-endian program out of recorded instruction cases. The same bytes run in user mode under
// qemu-ppc64le (when recording) and in real mode on this package's engine (in the test), so nothing is compared but the
// processor. Each case loads its registers from a table of input states, runs its words and stores the state after.
//
// State, 9 doublewords: r0, r3, r4, r5, r6, LR, CTR, XER<<32|CR, flag (0, or where a branch went: 1 next, 2 target).
// Cases of a memory table have 8 more: the 64 bytes around SCRATCH + 128, before as TEMPLATE has it.
// Harness registers: r31 input, r30 output, r29 counter, r28 temporary, r27 flag, r26 scratch.

import { Assembler, r0, r3, r4, r5, r6, r26, r27, r28, r29, r30, r31 } from "../src/asm/index.ts";

export const ORIGIN = 0x100000;
export const STATE_BYTES = 72;
export const WINDOW_BYTES = 64;
/** Fixed data addresses below the code: input states hold absolute addresses. */
export const SCRATCH = ORIGIN + 0x1000;
export const WINDOW = SCRATCH + 96;
const TEMPLATE = ORIGIN + 0x1200;
const RETURN_SLOT = ORIGIN + 0x1300;
const CODE = ORIGIN + 0x2000;
/** XER bits that a processor has to keep: SO, OV, CA, OV32, CA32 and the byte count. */
export const XER_MASK = 0xe00c007f;
const OUTPUT_ALIGN = 0x10000;
const INPUT_STATE = [r0, r3, r4, r5, r6];

/** How the case's (single) word is a branch: its target field is relative or absolute, or the target is in LR, CTR, TAR. */
export type BranchKind = "relative" | "absolute" | "lr" | "ctr" | "tar";

export interface InstructionCase {
  /** Full mnemonic under test; cases of one mnemonic are one group. */
  readonly name: string;
  /** Name of the table of input states. */
  readonly table: string;
  readonly words: readonly number[];
  readonly branch?: BranchKind;
}

/** Input states by table name: 8 doublewords each (the state without the flag). "m" as first letter: memory table. */
export type StateTables = Readonly<Record<string, readonly (readonly bigint[])[]>>;

export interface InstructionProgram {
  /** Text and data from ORIGIN on. */
  readonly bytes: Uint8Array;
  /** Runs all groups, writes the output to descriptor 1 and exits (Linux system calls). */
  readonly entry: number;
  /** Where each group starts; it ends with a jump to the address held at `returnSlot`. */
  readonly groups: ReadonlyMap<string, number>;
  readonly returnSlot: number;
  readonly output: number;
  readonly outputBytes: number;
  /** Offset of each case's output. */
  readonly offsets: readonly number[];
}

export function isMemoryTable(name: string): boolean {
  return name.startsWith("m");
}

export function recordBytes(table: string): number {
  return isMemoryTable(table) ? STATE_BYTES + WINDOW_BYTES : STATE_BYTES;
}

/** 64 bytes that differ everywhere and have sign bits at several widths. */
export function windowTemplate(): Uint8Array {
  return Uint8Array.from({ length: WINDOW_BYTES }, (_, i) => (i * 37 + (i & 4 ? 0x83 : 0x11)) & 0xff);
}

export function buildProgram(cases: readonly InstructionCase[], tables: StateTables): InstructionProgram {
  const a = new Assembler({ origin: ORIGIN });
  a.space(TEMPLATE - ORIGIN);
  a.data(windowTemplate());
  a.space(CODE - a.here);
  for (const [name, states] of Object.entries(tables)) {
    a.label(`table ${name}`);
    for (const state of states) a.u64(...state);
  }
  const offsets = layOut(cases, tables);
  const outputBytes = offsets.at(-1)!;
  a.label("entry");
  const names = [...new Set(cases.map((c) => c.name))];
  for (const name of names) callGroup(a, name);
  a.b("finish");
  for (const name of names) {
    a.label(`group ${name}`);
    cases.forEach((c, i) => {
      if (c.name === name) emitCase(a, c, i, offsets[i]!, tables[c.table]!.length);
    });
    a.li64(r28, RETURN_SLOT);
    a.ld(r28, 0, r28);
    a.mtctr(r28);
    a.bctr();
  }
  emitFinish(a, outputBytes);
  const output = Math.ceil(a.here / OUTPUT_ALIGN) * OUTPUT_ALIGN;
  a.define("output", output);
  const groups = new Map(names.map((name) => [name, a.addressOf(`group ${name}`)]));
  return {
    bytes: a.bytes(),
    entry: a.addressOf("entry"),
    groups,
    returnSlot: RETURN_SLOT,
    output,
    outputBytes,
    offsets,
  };
}

function layOut(cases: readonly InstructionCase[], tables: StateTables): number[] {
  const offsets = [0];
  for (const c of cases) offsets.push(offsets.at(-1)! + tables[c.table]!.length * recordBytes(c.table));
  return offsets;
}

function callGroup(a: Assembler, name: string): void {
  a.la(r28, `after ${name}`);
  a.li64(r27, RETURN_SLOT);
  a.std(r28, 0, r27);
  a.b(`group ${name}`);
  a.label(`after ${name}`);
}

function emitCase(a: Assembler, c: InstructionCase, index: number, offset: number, states: number): void {
  const memory = isMemoryTable(c.table);
  a.la(r31, `table ${c.table}`);
  a.la(r30, "output");
  a.li64(r28, offset);
  a.add(r30, r30, r28);
  a.li(r29, states);
  a.label(`case ${index}`);
  if (memory) {
    a.li64(r26, TEMPLATE);
    a.li64(r28, WINDOW);
    copyWindow(a, r26, 0, r28, 0);
  }
  loadState(a);
  emitUnderTest(a, c, index);
  storeState(a);
  if (memory) {
    a.li64(r26, WINDOW);
    copyWindow(a, r26, 0, r30, STATE_BYTES);
  }
  a.addi(r31, r31, 64);
  a.addi(r30, r30, recordBytes(c.table));
  a.addi(r29, r29, -1);
  a.cmpdi(r29, 0);
  a.bne(`case ${index}`);
}

function copyWindow(a: Assembler, from: number, fromAt: number, to: number, toAt: number): void {
  for (let i = 0; i < WINDOW_BYTES; i += 8) {
    a.ld(r27, fromAt + i, from);
    a.std(r27, toAt + i, to);
  }
}

function loadState(a: Assembler): void {
  a.ld(r28, 40, r31);
  a.mtlr(r28);
  a.ld(r28, 48, r31);
  a.mtctr(r28);
  a.lwz(r28, 56, r31);
  a.mtcr(r28);
  a.lwz(r28, 60, r31);
  a.mtxer(r28);
  INPUT_STATE.forEach((r, i) => {
    a.ld(r, i * 8, r31);
  });
  a.li(r27, 0);
}

function storeState(a: Assembler): void {
  INPUT_STATE.forEach((r, i) => {
    a.std(r, i * 8, r30);
  });
  a.mflr(r28);
  a.std(r28, 40, r30);
  a.mfctr(r28);
  a.std(r28, 48, r30);
  a.mfcr(r28);
  a.stw(r28, 56, r30);
  a.mfxer(r28);
  a.stw(r28, 60, r30);
  a.std(r27, 64, r30);
}

/** The words; a branch is followed by the two places that it can go to. */
function emitUnderTest(a: Assembler, c: InstructionCase, index: number): void {
  const target = `target ${index}`;
  if (c.branch === "lr" || c.branch === "ctr" || c.branch === "tar") {
    a.la(r28, target);
    a.ori(r28, r28, 3); // the two low bits are ignored
    if (c.branch === "lr") a.mtlr(r28);
    else if (c.branch === "ctr") a.mtctr(r28);
    else a.mtspr(815, r28);
  }
  if (c.branch === "absolute") a.word((c.words[0]! | (a.here + 12)) >>> 0);
  else for (const word of c.words) a.word(c.branch === "relative" ? word | 12 : word);
  if (c.branch === undefined) return;
  a.li(r27, 1);
  a.b(`join ${index}`);
  a.label(target);
  a.li(r27, 2);
  a.label(`join ${index}`);
}

/** write(1, output, ...) until all is out, then exit(0); exit(1) when writing fails. */
function emitFinish(a: Assembler, outputBytes: number): void {
  a.label("finish");
  a.la(r30, "output");
  a.li64(r31, outputBytes);
  a.label("more");
  a.cmpdi(r31, 0);
  a.li(r3, 0);
  a.beq("exit");
  a.li(r0, 4);
  a.li(r3, 1);
  a.mr(r4, r30);
  a.mr(r5, r31);
  a.sc();
  a.bso("failed");
  a.add(r30, r30, r3);
  a.sub(r31, r31, r3);
  a.b("more");
  a.label("failed");
  a.li(r3, 1);
  a.label("exit");
  a.li(r0, 1);
  a.sc();
}
