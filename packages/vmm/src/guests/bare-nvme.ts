// A polling NVMe driver in a page: enable the controller, identify the namespace, one I/O queue pair, read, write, flush.
// Source: NVM Express base specification 1.4, chapters 3 (registers), 4 (queues), 5 (admin commands), 6 (NVM commands).
// Through the whole program r31 = real address of BAR 0 and r28 = bytes between doorbells.

import { r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r28, r29, r30, r31 } from "@minivmm/ppc64/asm";
import {
  type BareSettings,
  busAddress,
  DATA_PAGES,
  type DevicePage,
  MEMORY,
  PAGE,
  pageAddress,
  REQUEST_BYTES,
} from "./bare-layout.ts";
import type { GuestCode } from "./guest-code.ts";

const NVME_REG_CAP = 0x00;
const NVME_REG_CC = 0x14;
const NVME_REG_CSTS = 0x1c;
const NVME_REG_AQA = 0x24;
const NVME_REG_ASQ = 0x28;
const NVME_REG_ACQ = 0x30;
const NVME_REG_DOORBELLS = 0x1000;
/** Enable, 64-byte submission and 16-byte completion entries, 4 KiB pages. */
const CC_ENABLE = 0x00460001;

const ADMIN_CREATE_SQ = 1;
const ADMIN_CREATE_CQ = 5;
const ADMIN_IDENTIFY = 6;
const CMD_FLUSH = 0;
export const CMD_WRITE = 1;
export const CMD_READ = 2;

export const NAMESPACE = 1;
const ENTRIES = 8;
/** How often a state is looked at before it counts as never coming. */
const PATIENCE = 20_000_000;

/** Words of a queue's state: next submission slot, next completion slot, expected phase bit. */
const STATE_TAIL = 0;
const STATE_HEAD = 4;
const STATE_PHASE = 8;
const STATE_BYTES = 16;
/** Offsets in a command. */
export const CDW0 = 0;
export const NSID = 4;
export const PRP1 = 24;
export const PRP2 = 32;
export const CDW10 = 40;
export const CDW11 = 44;
export const CDW12 = 48;

/** "waitReady": r3 = wanted value of CSTS.RDY; r3 = 0, or 1 when it never came or the controller gave up (CSTS.CFS). */
function emitWaitReady(code: GuestCode): void {
  const { a } = code;
  a.label("waitReady");
  a.li64(r5, PATIENCE);
  a.mtctr(r5);
  a.label("waitReady.look");
  a.lwz(r4, NVME_REG_CSTS, r31);
  a.andi_(r5, r4, 2);
  a.bne("waitReady.failed");
  a.andi_(r4, r4, 1);
  a.cmpw(r4, r3);
  a.li(r6, 0);
  a.beq("waitReady.done");
  a.bdnz("waitReady.look");
  a.label("waitReady.failed");
  a.li(r6, 1);
  a.label("waitReady.done");
  a.mr(r3, r6);
  a.blr();
}

/** "clearCommand": zeroes the command; r12 = its address, for the stores that follow. */
function emitClearCommand(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  a.label("clearCommand");
  a.li64(r12, s.memoryBase + MEMORY.command);
  a.li(r11, 0);
  for (let at = 0; at < 64; at += 8) a.std(r11, at, r12);
  a.blr();
}

/**
 * "submit": r3 = queue (0 admin, 1 I/O). Copies the command into the next slot, rings, polls the completion queue.
 * r3 = status field (0 = success), or -1 when nothing came back.
 */
function emitSubmit(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("submit", [r29, r30], 0, () => {
    a.mulli(r5, r3, STATE_BYTES);
    a.li64(r30, s.memoryBase + MEMORY.queues);
    a.add(r30, r30, r5); // state
    a.sldi(r5, r3, 13); // two pages (submission, completion) each queue
    a.li64(r29, pageAddress(s, "adminSubmission"));
    a.add(r29, r29, r5);

    a.lwz(r6, STATE_TAIL, r30);
    a.sldi(r7, r6, 6);
    a.add(r7, r7, r29);
    a.li64(r12, s.memoryBase + MEMORY.command);
    for (let at = 0; at < 64; at += 8) {
      a.ld(r8, at, r12);
      a.std(r8, at, r7);
    }
    a.addi(r6, r6, 1);
    a.andi_(r6, r6, ENTRIES - 1);
    a.stw(r6, STATE_TAIL, r30);
    a.sync(); // the command is in memory before the device hears of it
    a.addi(r9, r31, NVME_REG_DOORBELLS);
    a.sldi(r10, r3, 1);
    a.mulld(r10, r10, r28);
    a.add(r9, r9, r10); // submission doorbell of the queue
    a.stw(r6, 0, r9);

    a.lwz(r6, STATE_HEAD, r30);
    a.lwz(r5, STATE_PHASE, r30);
    a.sldi(r7, r6, 4);
    a.add(r7, r7, r29);
    a.addi(r7, r7, PAGE); // completion entry
    a.li64(r8, PATIENCE);
    a.mtctr(r8);
    a.label("submit.poll");
    a.lwz(r10, 12, r7);
    a.rlwinm(r11, r10, 16, 31, 31); // phase: bit 16
    a.cmpw(r11, r5);
    a.beq("submit.completed");
    a.bdnz("submit.poll");
    a.li(r3, -1);
    a.b("submit.return");

    a.label("submit.completed");
    a.lwsync();
    a.srwi(r3, r10, 17);
    a.addi(r6, r6, 1);
    a.andi_(r6, r6, ENTRIES - 1);
    a.bne("submit.sameLap");
    a.xori(r5, r5, 1);
    a.stw(r5, STATE_PHASE, r30);
    a.label("submit.sameLap");
    a.stw(r6, STATE_HEAD, r30);
    // The controller is told of room in the completion queue well before it runs out of it, and not each time.
    a.andi_(r7, r6, ENTRIES / 2 - 1);
    a.bne("submit.return");
    a.add(r9, r9, r28);
    a.stw(r6, 0, r9);
  });
}

/** Stores a 64-bit register as two words: the low one first, which every controller accepts. */
function storeRegister64(code: GuestCode, offset: number, value: number): void {
  const { a } = code;
  a.li64(r4, value);
  a.stw(r4, offset, r31);
  a.srdi(r4, r4, 32);
  a.stw(r4, offset + 4, r31);
}

/** "enableController": r31 = BAR 0; sets r28, resets the queues; r3 = 0 or 1. */
function emitEnable(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("enableController", [], 0, () => {
    a.lwz(r4, NVME_REG_CAP + 4, r31);
    a.andi_(r4, r4, 0xf); // DSTRD
    a.li(r28, 4);
    a.sld(r28, r28, r4);
    a.li(r4, 0);
    a.stw(r4, NVME_REG_CC, r31);
    a.li(r3, 0);
    a.bl("waitReady");
    a.cmpdi(r3, 0);
    a.bne("enableController.return");
    a.li64(r5, s.memoryBase + MEMORY.queues);
    a.li(r4, 0);
    a.li(r6, 1);
    for (const queue of [0, STATE_BYTES]) {
      a.stw(r4, queue + STATE_TAIL, r5);
      a.stw(r4, queue + STATE_HEAD, r5);
      a.stw(r6, queue + STATE_PHASE, r5);
    }
    a.bl("clearQueues");
    a.li64(r4, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
    a.stw(r4, NVME_REG_AQA, r31);
    storeRegister64(code, NVME_REG_ASQ, busAddress(s, "adminSubmission"));
    storeRegister64(code, NVME_REG_ACQ, busAddress(s, "adminCompletion"));
    a.sync();
    a.li64(r4, CC_ENABLE);
    a.stw(r4, NVME_REG_CC, r31);
    a.li(r3, 1);
    a.bl("waitReady");
  });
  // "clearQueues": stale phase bits would look like completions.
  a.label("clearQueues");
  a.li64(r4, pageAddress(s, "adminSubmission"));
  a.li64(r5, (4 * PAGE) / 8);
  a.mtctr(r5);
  a.li(r5, 0);
  a.label("clearQueues.next");
  a.std(r5, 0, r4);
  a.addi(r4, r4, 8);
  a.bdnz("clearQueues.next");
  a.blr();
}

/** Builds a command whose fields are constants; r12 = the command afterwards. */
function command(code: GuestCode, fields: Readonly<Record<number, number>>, prp1?: [BareSettings, DevicePage]): void {
  const { a } = code;
  a.bl("clearCommand");
  for (const [offset, value] of Object.entries(fields)) {
    a.li64(r4, value);
    a.stw(r4, Number(offset), r12);
  }
  if (prp1 === undefined) return;
  a.li64(r4, busAddress(...prp1));
  a.std(r4, PRP1, r12);
}

function submitTo(code: GuestCode, queue: 0 | 1): void {
  code.a.li(r3, queue);
  code.a.bl("submit");
}

/** "identify": namespace 1. r3 = status, r4 = blocks, r5 = log2 of the block size. */
function emitIdentify(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("identify", [], 0, () => {
    command(code, { [CDW0]: ADMIN_IDENTIFY, [NSID]: NAMESPACE, [CDW10]: 0 }, [s, "identify"]);
    submitTo(code, 0);
    a.li64(r6, pageAddress(s, "identify"));
    a.ld(r4, 0, r6); // NSZE
    a.lbz(r7, 26, r6); // FLBAS
    a.andi_(r7, r7, 0xf);
    a.sldi(r7, r7, 2);
    a.add(r7, r7, r6);
    a.lbz(r5, 130, r7); // LBADS of the format in use
  });
}

/** "createQueues": the I/O queue pair 1, without interrupts; r3 = status. */
function emitCreateQueues(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  const size = ((ENTRIES - 1) << 16) | 1;
  code.routine("createQueues", [], 0, () => {
    command(code, { [CDW0]: ADMIN_CREATE_CQ, [CDW10]: size, [CDW11]: 1 }, [s, "ioCompletion"]);
    submitTo(code, 0);
    a.cmpdi(r3, 0);
    a.bne("createQueues.return");
    command(code, { [CDW0]: ADMIN_CREATE_SQ, [CDW10]: size, [CDW11]: (1 << 16) | 1 }, [s, "ioSubmission"]);
    submitTo(code, 0);
  });
}

/**
 * "transfer": r3 = CMD_READ or CMD_WRITE, r4 = byte offset on the disk, r5 = log2 of the block size: REQUEST_BYTES between
 * the disk and the data pages. "flushDisk": no arguments. Both: r3 = status.
 */
function emitTransfer(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  code.routine("transfer", [], 0, () => {
    a.mr(r8, r3);
    a.mr(r9, r4);
    a.mr(r10, r5);
    command(code, { [NSID]: NAMESPACE }, [s, "data"]);
    a.stw(r8, CDW0, r12);
    a.li64(r4, busAddress(s, "prpList"));
    a.std(r4, PRP2, r12);
    a.srd(r9, r9, r10);
    a.stw(r9, CDW10, r12);
    a.srdi(r9, r9, 32);
    a.stw(r9, CDW11, r12);
    a.li64(r4, REQUEST_BYTES);
    a.srd(r4, r4, r10);
    a.addi(r4, r4, -1);
    a.stw(r4, CDW12, r12);
    submitTo(code, 1);
  });
  code.routine("flushDisk", [], 0, () => {
    command(code, { [CDW0]: CMD_FLUSH, [NSID]: NAMESPACE });
    submitTo(code, 1);
  });
  // "buildPrpList": bus addresses of the second and following data pages.
  a.label("buildPrpList");
  a.li64(r4, pageAddress(s, "prpList"));
  a.li64(r5, busAddress(s, "data") + PAGE);
  a.li(r6, DATA_PAGES - 1);
  a.mtctr(r6);
  a.label("buildPrpList.next");
  a.std(r5, 0, r4);
  a.addi(r4, r4, 8);
  a.addi(r5, r5, PAGE);
  a.bdnz("buildPrpList.next");
  a.blr();
}

export function emitNvmeDriver(code: GuestCode, s: BareSettings): void {
  emitWaitReady(code);
  emitClearCommand(code, s);
  emitSubmit(code, s);
  emitEnable(code, s);
  emitIdentify(code, s);
  emitCreateQueues(code, s);
  emitTransfer(code, s);
}
