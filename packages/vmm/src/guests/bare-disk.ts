// A guest without an operating system: entered as a kernel is (r3 = device tree, real mode, 64-bit), it finds its NVMe
// controller with RTAS, gives it an address and DMA pages, reads a known pattern, writes another one, reads that back,
// prints a report through the hypervisor's console and switches the machine off. It shows, in the order a kernel would
// do it, every platform service that a passed-through device needs.
// Registers that live through main: r31 = BAR 0, r30 = offset, r29 = end, r28 = doorbell stride, r27 = number for the
// FAIL line, r26 = log2 of the block size.

import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r5, r26, r27, r29, r30 } from "@minivmm/ppc64/asm";
import {
  type BareDiskOptions,
  type BareSettings,
  bareSettings,
  MEMORY,
  pageAddress,
  REQUEST_BYTES,
} from "./bare-layout.ts";
import { CMD_READ, CMD_WRITE, emitNvmeDriver } from "./bare-nvme.ts";
import { emitConfigAccess, emitConsole, emitDmaMapping, emitPowerOff, emitRtas } from "./bare-platform.ts";
import { assignBar, failUnlessEqual, failUnlessZero, findController, printNumber } from "./bare-steps.ts";
import { emitEndianTrampoline } from "./bare-trampoline.ts";
import { type DiskPattern, READ_PATTERN, WRITE_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";

/** ELF image: one segment, entered at its first byte. */
export function bareDiskProgram(options: BareDiskOptions = {}): Uint8Array {
  const s = bareSettings(options);
  const code = new GuestCode(s.loadAddress);
  emitMain(code, s);
  emitVerify(code, s);
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

function emitMain(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  emitEndianTrampoline(code);
  a.li64(r1, s.memoryBase + MEMORY.stackTop - 128);
  code.print("minivmm-bare: started\n");
  findController(code);
  assignBar(code, s);

  code.a.bl("mapPages");
  failUnlessZero(code, "mapping DMA pages, hypercall status");
  a.bl("buildPrpList");
  a.bl("enableController");
  failUnlessZero(code, "controller does not become ready, code");
  a.bl("identify");
  a.mr(r26, r5);
  a.mr(r30, r4);
  failUnlessZero(code, "identify, status");
  code.print("disk: ");
  printNumber(code, r30, "putDecimal");
  code.print(" blocks of 2^");
  printNumber(code, r26, "putDecimal");
  code.print(" bytes\n");
  a.bl("createQueues");
  failUnlessZero(code, "creating the I/O queues, status");

  code.print("disk: read ");
  setRange(code, 0, s.bytes);
  a.bl("verifyRead");
  reportBytes(code, s.bytes, ", pattern ok\n");
  setRange(code, s.bytes, 2 * s.bytes);
  a.bl("writePattern");
  code.print("disk: wrote ");
  setRange(code, s.bytes, 2 * s.bytes);
  a.bl("verifyWritten");
  reportBytes(code, s.bytes, ", read back ok\n");

  a.bl("unmapPages");
  failUnlessZero(code, "unmapping DMA pages, hypercall status");
  code.print("minivmm-bare: PASS\n");
  a.b("powerOff");
}

function setRange(code: GuestCode, from: number, to: number): void {
  code.a.li64(r30, from);
  code.a.li64(r29, to);
}

function reportBytes(code: GuestCode, bytes: number, ending: string): void {
  code.a.li64(r3, bytes);
  code.a.bl("putDecimal");
  code.print(` bytes${ending}`);
}

/** "verifyRead", "verifyWritten", "writePattern": the range r30..r29 in requests of REQUEST_BYTES. */
function emitVerify(code: GuestCode, s: BareSettings): void {
  const { a } = code;
  const eachRequest = (name: string, body: () => void): void => {
    code.routine(name, [], 0, () => {
      a.label(`${name}.request`);
      body();
      a.li64(r4, REQUEST_BYTES);
      a.add(r30, r30, r4);
      a.cmpld(r30, r29);
      a.blt(`${name}.request`);
    });
  };
  const pattern = (routine: string, of: DiskPattern, base: number): void => {
    a.li64(r4, base);
    a.sub(r4, r30, r4);
    loadPattern(code, of, r4);
    a.li64(r3, pageAddress(s, "data"));
    a.li64(r4, REQUEST_BYTES);
    a.bl(routine);
  };
  const transfer = (opcode: number): void => {
    a.li(r3, opcode);
    a.mr(r4, r30);
    a.mr(r5, r26);
    a.bl("transfer");
  };
  const verify = (name: string, of: DiskPattern, base: number): void =>
    eachRequest(name, () => {
      transfer(CMD_READ);
      failUnlessZero(code, "reading, NVMe status");
      pattern("checkPattern", of, base);
      a.add(r27, r30, r3);
      a.cmpdi(r3, -1);
      failUnlessEqual(code, "first bad offset");
    });
  verify("verifyRead", READ_PATTERN, 0);
  verify("verifyWritten", WRITE_PATTERN, s.bytes);
  eachRequest("writePattern", () => {
    pattern("fillPattern", WRITE_PATTERN, s.bytes);
    transfer(CMD_WRITE);
    failUnlessZero(code, "writing, NVMe status");
    a.bl("flushDisk");
    failUnlessZero(code, "flushing, NVMe status");
  });
}
