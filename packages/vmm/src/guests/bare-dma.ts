// A guest without an operating system that hands a page to edu, the teaching device, again and again: it fills the page by stores
// of eight bytes and has the device read it. A part says whether the device snoops (DEVCTL's Enable No Snoop, which only an edu
// with `noSnoop` has), and whether the page is flushed before: where DMA does not snoop, a driver has to flush each block that it
// has written (dcbf) and wait (hwsync). Without flushes hwsync is there as well, since the doorbell must not overtake stores.
// Every round has other words. After its last round a part has edu write its buffer to a page that nobody has used, and checks it.
// A part's measured rounds lie between two stores to where edu has no register: a stopwatch for whoever plugs it in.
// Source: Power ISA 3.0B Book II 4.3.2 (dcbf); PCIe 5.0 7.5.3.4 (Device Control); QEMU docs/specs/edu.rst.
// Registers: r26 = bytes handed over by this part, r25 = rounds left, r27 = number for the FAIL line, r31 = BAR 0.
import { H_PUT_TCE } from "@minivmm/kvm";
import { CACHE_BLOCK } from "@minivmm/ppc64";
import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r5, r6, r25, r26, r27, r31 } from "@minivmm/ppc64/asm";
import { type BareDiskOptions, type BareSettings, bareSettings, MEMORY, MMIO_WINDOW_32, PAGE } from "./bare-layout.ts";
import { emitConfigAccess, emitConsole, emitPowerOff, emitRtas } from "./bare-platform.ts";
import { assignBars, failUnlessEqual, failUnlessZero, findFunction } from "./bare-steps.ts";
import { emitEndianTrampoline } from "./bare-trampoline.ts";
import { diskPattern, READ_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";

export interface DmaPart {
  /** The device's requests look into caches: DEVCTL forbids No Snoop. */
  readonly snooped: boolean;
  /** The guest flushes what it has written before the doorbell, and what the device has written before it looks. */
  readonly flushed: boolean;
  /** Rounds that are measured, at least one, and those before them that are not. */
  readonly rounds: number;
  readonly warmUp: number;
}

/** Bytes of RAM that the program needs. */
export const DMA_RAM = 0x200_0000;
/** What the device reads in a round, which is all that its buffer holds, and the blocks that a flush of it takes. */
export const DMA_BYTES = PAGE;
export const DMA_BLOCKS = DMA_BYTES / CACHE_BLOCK;
/** Offset of the stopwatch in BAR 0. */
export const DMA_STOPWATCH = 0x800;
export const DMA_PASS = "minivmm-bare: PASS";

const CLASS_EDU = 0x00ff00;
const PARTS_MAX = 16;
/** The page that is handed over, and behind it one page for what comes back from each part. */
const BUFFERS = 0x10_0000;
const TCE_READ = 1;
const TCE_WRITE = 2;

const EDU_SOURCE = 0x80;
const EDU_DESTINATION = 0x88;
const EDU_COUNT = 0x90;
const EDU_COMMAND = 0x98;
const EDU_RUN = 1;
const EDU_FROM_DEVICE = 2;
const EDU_BUFFER = 0x4_0000;
/** Where edu has its Express capability. */
const EDU_EXPRESS = 0x60;
const PCI_CAP_ID_EXP = 0x10;
const PCI_EXP_DEVCTL = 8;
const PCI_EXP_DEVCTL_NOSNOOP_EN = 0x800;

/** What a part leaves in the device: the words of its last round. */
export function dmaPattern({ rounds, warmUp }: DmaPart): Uint8Array {
  return diskPattern(DMA_BYTES, READ_PATTERN, ((rounds + warmUp - 1) * DMA_BYTES) / 8);
}

/** ELF image for an edu with `noSnoop` in slot 1. Throws RangeError for parts that cannot be. */
export function dmaProgram(parts: readonly DmaPart[], options: BareDiskOptions = {}): Uint8Array {
  if (parts.length > PARTS_MAX) throw new RangeError(`${parts.length} parts cannot be, more than ${PARTS_MAX}`);
  for (const { rounds, warmUp } of parts) {
    if (rounds >= 1 && rounds < 2 ** 31 && warmUp >= 0 && warmUp < 2 ** 31) continue;
    throw new RangeError(`a part of ${rounds} rounds after ${warmUp} cannot be`);
  }
  const s = bareSettings({ ...MMIO_WINDOW_32, ...options });
  const code = new GuestCode(s.loadAddress);
  const { a } = code;

  emitEndianTrampoline(code);
  a.li64(r1, s.memoryBase + MEMORY.stackTop - 128);
  code.print("minivmm-bare: started\n");
  findFunction(code, CLASS_EDU, "edu, the teaching device");
  a.li(r3, EDU_EXPRESS);
  a.li(r4, 1);
  a.bl("readConfig");
  a.mr(r27, r3);
  a.cmpdi(r27, PCI_CAP_ID_EXP);
  failUnlessEqual(code, "no Express capability, which edu has with noSnoop, but");
  assignBars(code, [s.barBusAddress]);
  a.li64(r31, s.barRealAddress);
  for (let page = 0; page <= parts.length; page++) map(code, s, page, page === 0 ? TCE_READ : TCE_WRITE);
  parts.forEach((part, n) => {
    handOver(code, s, part, n);
  });
  code.print(`${DMA_PASS}\n`);
  a.b("powerOff");

  emitConsole(code, s);
  emitRtas(code, s);
  emitConfigAccess(code, s);
  emitPowerOff(code, s);
  emitNumberRoutines(code);
  emitPatternRoutines(code);
  const bytes = code.finish();
  return buildElf({ entry: s.loadAddress, segments: [{ address: s.loadAddress, bytes, flags: PF_R | PF_W | PF_X }] });
}

const real = (s: BareSettings, page: number): number => s.memoryBase + BUFFERS + page * PAGE;
const bus = (s: BareSettings, page: number): number => s.dmaAddress + page * PAGE;

function map(code: GuestCode, s: BareSettings, page: number, rights: number): void {
  const { a } = code;
  a.li(r3, H_PUT_TCE);
  a.li64(r4, s.liobn);
  a.li64(r5, bus(s, page));
  a.li64(r6, real(s, page) | rights);
  a.sc(1);
  failUnlessZero(code, "mapping a page, hypercall status");
}

function handOver(code: GuestCode, s: BareSettings, part: DmaPart, n: number): void {
  const { a } = code;
  const back = n + 1;
  allowNoSnoop(code, !part.snooped);
  transferBetween(code, bus(s, 0), EDU_BUFFER);
  a.li(r26, 0);
  for (const rounds of [part.warmUp, part.rounds]) {
    if (rounds > 0) handOverRounds(code, real(s, 0), part.flushed, rounds);
    a.li(r4, n);
    a.stw(r4, DMA_STOPWATCH, r31);
  }
  transferBetween(code, EDU_BUFFER, bus(s, back));
  transfer(code, EDU_RUN | EDU_FROM_DEVICE);
  if (part.flushed) flush(code, real(s, back));
  a.addi(r26, r26, -DMA_BYTES);
  loadPattern(code, READ_PATTERN, r26);
  a.li64(r3, real(s, back));
  a.li64(r4, DMA_BYTES);
  a.bl("checkPattern");
  a.mr(r27, r3);
  a.cmpdi(r3, -1);
  failUnlessEqual(code, `part ${n}, first bad offset`);
}

function handOverRounds(code: GuestCode, buffer: number, flushed: boolean, rounds: number): void {
  const { a } = code;
  const again = code.fresh("round");
  a.li64(r25, rounds);
  a.label(again);
  loadPattern(code, READ_PATTERN, r26);
  a.li64(r3, buffer);
  a.li64(r4, DMA_BYTES);
  a.add(r26, r26, r4);
  a.bl("fillPattern");
  if (flushed) flush(code, buffer);
  else a.hwsync();
  transfer(code, EDU_RUN);
  a.addi(r25, r25, -1);
  a.cmpdi(r25, 0);
  a.bne(again);
}

/** Each block of a page, and waits until memory has them. */
function flush(code: GuestCode, page: number): void {
  const { a } = code;
  const again = code.fresh("flush");
  a.li64(r3, page);
  a.li(r4, DMA_BLOCKS);
  a.mtctr(r4);
  a.label(again);
  a.dcbf(0, r3);
  a.addi(r3, r3, CACHE_BLOCK);
  a.bdnz(again);
  a.hwsync();
}

/** What the next transfers are about; edu keeps it. */
function transferBetween(code: GuestCode, source: number, destination: number): void {
  const { a } = code;
  for (const [register, value] of [
    [EDU_SOURCE, source],
    [EDU_DESTINATION, destination],
    [EDU_COUNT, DMA_BYTES],
  ] as const) {
    a.li64(r4, value);
    a.std(r4, register, r31);
  }
}

/** The doorbell, and the wait for its end. */
function transfer(code: GuestCode, command: number): void {
  const { a } = code;
  const running = code.fresh("running");
  a.li(r4, command);
  a.std(r4, EDU_COMMAND, r31);
  a.label(running);
  a.ld(r4, EDU_COMMAND, r31);
  a.andi_(r4, r4, EDU_RUN);
  a.bne(running);
}

function allowNoSnoop(code: GuestCode, allowed: boolean): void {
  const { a } = code;
  a.li(r3, EDU_EXPRESS + PCI_EXP_DEVCTL);
  a.li(r4, 2);
  a.bl("readConfig");
  a.ori(r5, r3, PCI_EXP_DEVCTL_NOSNOOP_EN);
  if (!allowed) a.xori(r5, r5, PCI_EXP_DEVCTL_NOSNOOP_EN);
  a.li(r3, EDU_EXPRESS + PCI_EXP_DEVCTL);
  a.li(r4, 2);
  a.bl("writeConfig");
  failUnlessZero(code, "writing DEVCTL, RTAS status");
}
