// One batch of the mapping benchmark: pages of 4 KiB behind each other in memory and on the bus, the hypercalls that map and
// unmap them in pieces, NVMe commands of 64 pages that fill them, and a look at each page. A batch is as small as it may be,
// so that its data stays in the processor's caches and mapping is not hidden behind waiting for memory.
// Source: PAPR 2.7 section 14.5.4.2 (TCE hypercalls), NVM Express 1.4 section 4.3 (PRP lists).
import { H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE } from "@minivmm/kvm";
import { r3, r4, r5, r6, r7, r8, r9, r10, r12, r14, r15, r16, r17, r18, r19, r20 } from "@minivmm/ppc64/asm";
import { type BareSettings, MEMORY, PAGE } from "./bare-layout.ts";
import { CDW0, CDW10, CDW11, CDW12, NAMESPACE, NSID, PRP1, PRP2 } from "./bare-nvme.ts";
import { READ_PATTERN } from "./disk-pattern.ts";
import type { GuestCode } from "./guest-code.ts";

const TCE_READ_WRITE = 3;

/** Pages that one hypercall can map at most, and pages of a command. */
export const MOST_PAGES = 512;
const COMMAND_PAGES = 64;
const MOST_COMMANDS = MOST_PAGES / COMMAND_PAGES;
/**
 * Batches are read from the disk's first pages in turn, each a page further on than the one before: what a page held before
 * is never what it shall hold, and the disk is no larger than it must be.
 */
export const DISK_SLOTS = 8;
export const DISK_BYTES = (MOST_PAGES + DISK_SLOTS) * PAGE;

/** Pages of a batch whose hypercalls map `pages`. */
export const batchPages = (pages: number): number => Math.max(COMMAND_PAGES, pages);
export const batchBytes = (pages: number): number => batchPages(pages) * PAGE;
/** From memoryBase on: the batch, and a PRP list for each command. */
export const DATA_OFFSET = 0x20_0000;
const LISTS_OFFSET = 0x10_0000;
/** From the settings' dmaAddress on: bus addresses of the same. */
const DATA_BUS = 0x100_0000;
const LISTS_BUS = 0x80_0000;

export const mapRoutine = (pages: number): string => `map${pages}`;
export const unmapRoutine = (pages: number): string => `unmap${pages}`;

/** "map512", "unmap512" and so on: the batch by calls of `pages` pages. r3 = 0, or the statuses that were not, ored. */
export function emitMapping(code: GuestCode, s: BareSettings, pages: number): void {
  const { a } = code;
  const calls = batchPages(pages) / pages;
  const [left, bus, tce, liobn, list, step, statuses] = [r14, r15, r16, r17, r18, r19, r20];
  const eachCall = (name: string, body: () => void): void =>
    code.routine(name, [left, bus, tce, liobn, list, step, statuses], 0, () => {
      a.li(left, calls);
      a.li64(bus, s.dmaAddress + DATA_BUS);
      a.li64(tce, s.memoryBase + DATA_OFFSET + TCE_READ_WRITE);
      a.li64(liobn, s.liobn);
      a.li64(list, s.memoryBase + MEMORY.tceList);
      a.li64(step, pages * PAGE);
      a.li(statuses, 0);
      a.label(`${name}.call`);
      a.mr(r4, liobn);
      a.mr(r5, bus);
      body();
      a.sc(1);
      a.or(statuses, statuses, r3);
      a.add(bus, bus, step);
      a.addic_(left, left, -1);
      a.bne(`${name}.call`);
      a.mr(r3, statuses);
    });

  eachCall(mapRoutine(pages), () => {
    if (pages === 1) {
      a.mr(r6, tce);
      a.addi(tce, tce, PAGE);
      a.li(r3, H_PUT_TCE);
    } else {
      a.mr(r8, list);
      a.li(r9, pages);
      a.mtctr(r9);
      a.label(`map${pages}.entry`);
      a.stdbrx(tce, 0, r8);
      a.addi(tce, tce, PAGE);
      a.addi(r8, r8, 8);
      a.bdnz(`map${pages}.entry`);
      a.mr(r6, list);
      a.li(r7, pages);
      a.li(r3, H_PUT_TCE_INDIRECT);
    }
  });
  eachCall(unmapRoutine(pages), () => {
    a.li(r3, H_STUFF_TCE);
    a.li(r6, 0);
    a.li(r7, pages);
  });
}

/** "mapLists": writes the PRP lists and maps them for good; r3 = 0 or a hypercall's status. */
export function emitPrpLists(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  const [left, at, bus] = [r14, r15, r16];
  code.routine("mapLists", [left, at, bus], 0, () => {
    a.li(left, 0);
    a.label("mapLists.list");
    // Entries are the command's second page and those behind it; the list's own page is as far into the lists.
    a.sldi(r5, left, Math.log2(PAGE));
    a.li64(r4, s.memoryBase + LISTS_OFFSET);
    a.add(at, r4, r5);
    a.sldi(r6, left, Math.log2(COMMAND_PAGES * PAGE));
    a.li64(r7, s.dmaAddress + DATA_BUS + PAGE);
    a.add(bus, r6, r7);
    a.li(r8, COMMAND_PAGES - 1);
    a.mtctr(r8);
    a.mr(r9, at);
    a.label("mapLists.entry");
    a.std(bus, 0, r9);
    a.addi(bus, bus, PAGE);
    a.addi(r9, r9, 8);
    a.bdnz("mapLists.entry");
    a.li64(r10, s.dmaAddress + LISTS_BUS);
    a.add(r5, r5, r10);
    a.addi(r6, at, TCE_READ_WRITE);
    a.li64(r4, s.liobn);
    a.li(r3, H_PUT_TCE);
    a.sc(1);
    a.cmpdi(r3, 0);
    a.bne("mapLists.return");
    a.addi(left, left, 1);
    a.cmpdi(left, MOST_COMMANDS);
    a.bne("mapLists.list");
  });
}

/**
 * "batchTransfer": r3 = opcode, r4 = byte offset on the disk, r5 = log2 of the block size, r6 = pages; r3 = 0 or the first
 * bad status.
 */
export function emitBatchTransfer(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  const [opcode, block, blockLog, bus, list, left] = [r14, r15, r16, r17, r18, r19];
  code.routine("batchTransfer", [opcode, block, blockLog, bus, list, left, r20], 0, () => {
    a.mr(opcode, r3);
    a.mr(blockLog, r5);
    a.srd(block, r4, r5);
    a.li64(bus, s.dmaAddress + DATA_BUS);
    a.li64(list, s.dmaAddress + LISTS_BUS);
    a.srdi(left, r6, Math.log2(COMMAND_PAGES));
    a.li64(r20, COMMAND_PAGES * PAGE);
    a.label("batchTransfer.command");
    a.bl("clearCommand");
    a.li(r4, NAMESPACE);
    a.stw(r4, NSID, r12);
    a.stw(opcode, CDW0, r12);
    a.std(bus, PRP1, r12);
    a.std(list, PRP2, r12);
    a.stw(block, CDW10, r12);
    a.srdi(r4, block, 32);
    a.stw(r4, CDW11, r12);
    a.srd(r4, r20, blockLog);
    a.add(block, block, r4);
    a.addi(r4, r4, -1);
    a.stw(r4, CDW12, r12);
    a.add(bus, bus, r20);
    a.addi(list, list, PAGE);
    a.li(r3, 1);
    a.bl("submit");
    a.cmpdi(r3, 0);
    a.bne("batchTransfer.return");
    a.addi(left, left, -1);
    a.cmpdi(left, 0);
    a.bne("batchTransfer.command");
  });
}

/** "checkPages": r3 = byte offset on the disk of what was read, r4 = pages; r3 = -1, or the first wrong page's address. */
export function emitPageCheck(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  a.label("checkPages");
  a.srdi(r3, r3, 3);
  a.li64(r6, READ_PATTERN.multiplier);
  a.mulld(r5, r3, r6); // value of the first word; READ_PATTERN has no xor
  a.sldi(r6, r6, Math.log2(PAGE / 8));
  a.li64(r3, s.memoryBase + DATA_OFFSET);
  a.mtctr(r4);
  a.label("checkPages.page");
  a.ld(r9, 0, r3);
  a.cmpld(r9, r5);
  a.bne("checkPages.done");
  a.add(r5, r5, r6);
  a.addi(r3, r3, PAGE);
  a.bdnz("checkPages.page");
  a.li(r3, -1);
  a.label("checkPages.done");
  a.blr();
}
