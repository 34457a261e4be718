// A guest without an operating system that does what a driver does for each transfer: map pages for DMA by hypercall, let
// the device read a disk into them, look at what came, take the mappings away. How many pages one hypercall maps is the
// only thing that differs between its parts, so their times compare what mappings cost.
// One page a call is H_PUT_TCE, more are H_PUT_TCE_INDIRECT with a list that is written anew each time; unmapping is
// H_STUFF_TCE over as many pages as were mapped by a call. The device moves the same data the same way in each part.
// A part's measured batches lie between two flushes, which the disk's owner hears: no clock of the guest is trusted.
// Every page of every batch is checked by its first word; the last batch is read whole, and written back for the host.
// Registers: r31 = BAR 0, r28 = doorbell stride, r26 = log2 of the block size, r25 = batches left, r24 = page of the disk.
import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r5, r6, r8, r24, r25, r26, r27 } from "@minivmm/ppc64/asm";
import { type BareDiskOptions, bareSettings, MEMORY, PAGE } from "./bare-layout.ts";
import { CMD_READ, CMD_WRITE, emitNvmeDriver } from "./bare-nvme.ts";
import { emitConfigAccess, emitConsole, emitDmaMapping, emitPowerOff, emitRtas } from "./bare-platform.ts";
import { assignBar, failUnlessEqual, failUnlessZero, findController } from "./bare-steps.ts";
import {
  batchBytes,
  batchPages,
  DATA_OFFSET,
  DISK_BYTES,
  DISK_SLOTS,
  emitBatchTransfer,
  emitMapping,
  emitPageCheck,
  emitPrpLists,
  MOST_PAGES,
  mapRoutine,
  unmapRoutine,
} from "./bare-tce-batch.ts";
import { emitEndianTrampoline } from "./bare-trampoline.ts";
import { READ_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";

export interface TceBenchPart {
  /** Pages that one hypercall maps: a power of two from 1 to 512. */
  readonly pages: number;
  /** Batches of tceBenchBatch(pages) pages that are measured, and those before them that are not. */
  readonly batches: number;
  readonly warmUp: number;
}

/** Bytes of RAM and of the disk that the program needs; the disk begins with READ_PATTERN. */
export const TCE_BENCH_RAM = 0x200_0000;
export const TCE_BENCH_DISK = DISK_BYTES + batchBytes(MOST_PAGES);
/** Where the last batch, the disk's first part, is written back to. */
export const TCE_BENCH_WRITTEN = DISK_BYTES;
/** Pages of a batch in a part whose hypercalls map so many. */
export const tceBenchBatch: (pages: number) => number = batchPages;
export const TCE_BENCH_PASS = "minivmm-bare: PASS";

/** ELF image. Throws RangeError for a part that cannot be. */
export function tceBenchProgram(parts: readonly TceBenchPart[], options: BareDiskOptions = {}): Uint8Array {
  for (const { pages, batches, warmUp } of parts) {
    const fits = pages >= 1 && pages <= MOST_PAGES && Number.isInteger(Math.log2(pages));
    if (!fits || !(batches >= 1 && batches < 2 ** 31) || !(warmUp >= 0 && warmUp < 2 ** 31)) {
      throw new RangeError(`a part of ${pages} pages, ${batches} batches after ${warmUp} cannot be`);
    }
  }
  const s = bareSettings(options);
  const code = new GuestCode(s.loadAddress);
  const { a } = code;
  const sizes = [...new Set([...parts.map(({ pages }) => pages), MOST_PAGES])];

  emitEndianTrampoline(code);
  a.li64(r1, s.memoryBase + MEMORY.stackTop - 128);
  code.print("minivmm-bare: started\n");
  findController(code);
  assignBar(code, s);
  a.bl("mapPages");
  failUnlessZero(code, "mapping DMA pages, hypercall status");
  a.bl("mapLists");
  failUnlessZero(code, "mapping PRP lists, hypercall status");
  a.bl("enableController");
  failUnlessZero(code, "controller does not become ready, code");
  a.bl("identify");
  a.mr(r26, r5);
  failUnlessZero(code, "identify, status");
  a.bl("createQueues");
  failUnlessZero(code, "creating the I/O queues, status");
  a.li(r24, 0);
  for (const { pages, batches, warmUp } of parts) {
    for (const count of [warmUp, batches]) {
      if (count > 0) runBatches(code, pages, count);
      a.bl("flushDisk");
      failUnlessZero(code, "flushing, NVMe status");
    }
  }
  verifyLast(code, s.memoryBase + DATA_OFFSET);
  a.bl("unmapPages");
  failUnlessZero(code, "unmapping DMA pages, hypercall status");
  code.print(`${TCE_BENCH_PASS}\n`);
  a.b("powerOff");

  for (const pages of sizes) emitMapping(code, s, pages);
  emitPrpLists(code, s);
  emitBatchTransfer(code, s);
  emitPageCheck(code, s);
  emitConsole(code, s);
  emitRtas(code, s);
  emitConfigAccess(code, s);
  emitPowerOff(code, s);
  emitDmaMapping(code, s);
  emitNvmeDriver(code, s);
  emitNumberRoutines(code);
  emitPatternRoutines(code);
  const bytes = code.finish();
  return buildElf({ entry: s.loadAddress, segments: [{ address: s.loadAddress, bytes, flags: PF_R | PF_W | PF_X }] });
}

/** `count` times: map, read the next slot of the disk, check, unmap. */
function runBatches(code: GuestCode, pages: number, count: number): void {
  const { a } = code;
  const again = code.fresh("batch");
  a.li64(r25, count);
  a.label(again);
  a.bl(mapRoutine(pages));
  failUnlessZero(code, "mapping, hypercall status");
  transfer(code, CMD_READ, pages);
  failUnlessZero(code, "reading, NVMe status");
  a.sldi(r3, r24, Math.log2(PAGE));
  a.li(r4, batchPages(pages));
  a.bl("checkPages");
  a.mr(r27, r3);
  a.cmpdi(r3, -1);
  failUnlessEqual(code, "first bad page");
  a.bl(unmapRoutine(pages));
  failUnlessZero(code, "unmapping, hypercall status");
  a.addi(r24, r24, 1);
  a.andi_(r24, r24, DISK_SLOTS - 1);
  a.addi(r25, r25, -1);
  a.cmpdi(r25, 0);
  a.bne(again);
}

/** A batch between the mapped pages and the disk from its page r24 on. */
function transfer(code: GuestCode, opcode: number, pages: number): void {
  const { a } = code;
  a.li(r3, opcode);
  a.sldi(r4, r24, Math.log2(PAGE));
  a.mr(r5, r26);
  a.li(r6, batchPages(pages));
  a.bl("batchTransfer");
}

/** The first and largest batch into cleared memory, every word checked, and then written behind what is read. */
function verifyLast(code: GuestCode, data: number): void {
  const { a } = code;
  const pages = MOST_PAGES;
  const bytes = batchBytes(pages);
  a.li64(r3, data);
  a.li64(r4, bytes / 8);
  a.mtctr(r4);
  a.li(r4, 0);
  a.label("clearData");
  a.std(r4, 0, r3);
  a.addi(r3, r3, 8);
  a.bdnz("clearData");
  a.bl(mapRoutine(pages));
  failUnlessZero(code, "mapping, hypercall status");
  a.li(r24, 0);
  transfer(code, CMD_READ, pages);
  failUnlessZero(code, "reading, NVMe status");
  a.li(r8, 0);
  loadPattern(code, READ_PATTERN, r8);
  a.li64(r3, data);
  a.li64(r4, bytes);
  a.bl("checkPattern");
  a.mr(r27, r3);
  a.cmpdi(r3, -1);
  failUnlessEqual(code, "first bad offset");
  a.li(r24, DISK_BYTES / PAGE);
  transfer(code, CMD_WRITE, pages);
  failUnlessZero(code, "writing, NVMe status");
  a.bl(unmapRoutine(pages));
  failUnlessZero(code, "unmapping, hypercall status");
}
