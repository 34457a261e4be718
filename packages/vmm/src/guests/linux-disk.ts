// The Linux init's disk steps: open with patience, size, read and compare, write and fsync. Every mistake ends the
// program with a FAIL line. Registers as in linux-init.ts: r31 = descriptor, r30 = offset, r29 = end, r28 = buffer.

import { r1, r3, r4, r5, r6, r14, r27, r28, r29, r30, r31 } from "@minivmm/ppc64/asm";
import { type DiskPattern, READ_PATTERN, WRITE_PATTERN } from "./disk-pattern.ts";
import type { GuestCode } from "./guest-code.ts";
import { loadPattern } from "./guest-routines.ts";
import { BLKGETSIZE64, O_DIRECT, O_RDWR, systemCall } from "./linux-calls.ts";

export interface LinuxDiskInitOptions {
  /** Paths of kernel modules in the initramfs, in loading order (dependencies first), not compressed. Default none. */
  readonly modules?: readonly string[];
  /** The disks to try, one after the other. Default ["/dev/nvme0n1"]. */
  readonly devices?: readonly string[];
  /** Bytes to read and, behind them, to write; a multiple of requestBytes. The disk has twice as many. Default 1 MiB. */
  readonly bytes?: number;
  /** Bytes of one read or write call; a multiple of 4096. Default 64 KiB. */
  readonly requestBytes?: number;
  /** How long to wait for the device, in steps of 50 ms. Default 200. */
  readonly waitSteps?: number;
  /** After the disk test echo console lines until "poweroff", instead of switching off at once. Default false. */
  readonly interactive?: boolean;
  /** False: an ordinary process: no mounts, exit status instead of power-off, no O_DIRECT. For trying it out. Default true. */
  readonly asInit?: boolean;
}

export type LinuxDiskInitSettings = Required<LinuxDiskInitOptions>;

const STEP_NANOSECONDS = 50_000_000;

/** The routines openDisk, printSize, verifyRead, writePattern and verifyWritten. */
export function emitDiskRoutines(code: GuestCode, s: LinuxDiskInitSettings): void {
  emitOpenDisk(code, s);
  emitPrintSize(code);
  verifyRoutine(code, s, "verifyRead", READ_PATTERN, 0);
  verifyRoutine(code, s, "verifyWritten", WRITE_PATTERN, s.bytes);
  emitWrite(code, s);
}

/** Prints "minivmm-init: FAIL <what> <r27 in decimal>" and ends with status 1. */
export function fail(code: GuestCode, what: string): void {
  code.print(`\nminivmm-init: FAIL ${what} `);
  finishFailed(code);
}

/** The end of a FAIL line. */
function finishFailed(code: GuestCode): void {
  const { a } = code;
  a.mr(r3, r27);
  a.bl("putDecimal");
  code.print("\n");
  a.li(r14, 1);
  a.b("finish");
}

/** "openDisk": r3 = path, then descriptor; tries again every 50 ms while the device is not there. */
function emitOpenDisk(code: GuestCode, s: LinuxDiskInitSettings): void {
  const { a } = code;
  code.routine("openDisk", [r29, r30], 16, (locals) => {
    a.mr(r30, r3);
    a.li64(r29, s.waitSteps);
    a.label("openDisk.again");
    a.mr(r3, r30);
    a.li64(r4, s.asInit ? O_RDWR | O_DIRECT : O_RDWR);
    a.li(r5, 0);
    systemCall(code, "open");
    a.bns("openDisk.return");
    a.mr(r27, r3);
    a.addi(r29, r29, -1);
    a.cmpdi(r29, 0);
    a.ble("openDisk.never");
    a.li(r3, 0);
    a.std(r3, locals, r1);
    a.li64(r3, STEP_NANOSECONDS);
    a.std(r3, locals + 8, r1);
    a.addi(r3, r1, locals);
    a.li(r4, 0);
    systemCall(code, "nanosleep");
    a.b("openDisk.again");
    a.label("openDisk.never");
    code.print("\nminivmm-init: FAIL cannot open ");
    a.bl("putPath");
    code.print(", error ");
    finishFailed(code);
  });
}

/** "printSize": the block device's size, by BLKGETSIZE64 on r31; a plain file has none to tell. */
function emitPrintSize(code: GuestCode): void {
  const { a } = code;
  code.routine("printSize", [], 16, (locals) => {
    a.mr(r3, r31);
    a.li64(r4, BLKGETSIZE64);
    a.addi(r5, r1, locals);
    systemCall(code, "ioctl");
    a.bso("printSize.return");
    code.print("disk: size ");
    a.ld(r3, locals, r1);
    a.bl("putDecimal");
    code.print(" bytes\n");
  });
}

/** Reads r30..r29 and compares with the pattern, whose word 0 lies at `base`; the first wrong word ends the program. */
function verifyRoutine(
  code: GuestCode,
  s: LinuxDiskInitSettings,
  name: string,
  pattern: DiskPattern,
  base: number,
): void {
  const { a } = code;
  code.routine(name, [r28], 0, () => {
    a.la(r28, "buffer");
    a.label(`${name}.request`);
    a.mr(r3, r31);
    a.mr(r4, r28);
    a.li64(r5, s.requestBytes);
    a.mr(r6, r30);
    systemCall(code, "pread64");
    a.mr(r27, r3);
    a.bso(`${name}.error`);
    a.li64(r5, s.requestBytes);
    a.cmpd(r3, r5);
    a.bne(`${name}.short`);
    a.li64(r4, base);
    a.sub(r4, r30, r4);
    loadPattern(code, pattern, r4);
    a.mr(r3, r28);
    a.li64(r4, s.requestBytes);
    a.bl("checkPattern");
    a.cmpdi(r3, -1);
    a.bne(`${name}.wrong`);
    a.li64(r3, s.requestBytes);
    a.add(r30, r30, r3);
    a.cmpld(r30, r29);
    a.blt(`${name}.request`);
    a.b(`${name}.return`);
    a.label(`${name}.error`);
    fail(code, "read, error");
    a.label(`${name}.short`);
    fail(code, "short read, bytes");
    a.label(`${name}.wrong`);
    a.add(r27, r30, r3);
    fail(code, `${pattern === READ_PATTERN ? "pattern" : "read back"}, first bad offset`);
  });
}

/** "writePattern": fills and writes r30..r29, then fsync. */
function emitWrite(code: GuestCode, s: LinuxDiskInitSettings): void {
  const { a } = code;
  code.routine("writePattern", [r28], 0, () => {
    a.la(r28, "buffer");
    a.label("writePattern.request");
    a.li64(r4, s.bytes);
    a.sub(r4, r30, r4);
    loadPattern(code, WRITE_PATTERN, r4);
    a.mr(r3, r28);
    a.li64(r4, s.requestBytes);
    a.bl("fillPattern");
    a.mr(r3, r31);
    a.mr(r4, r28);
    a.li64(r5, s.requestBytes);
    a.mr(r6, r30);
    systemCall(code, "pwrite64");
    a.mr(r27, r3);
    a.bso("writePattern.error");
    a.li64(r5, s.requestBytes);
    a.cmpd(r3, r5);
    a.bne("writePattern.short");
    a.add(r30, r30, r5);
    a.cmpld(r30, r29);
    a.blt("writePattern.request");
    a.mr(r3, r31);
    systemCall(code, "fsync");
    a.mr(r27, r3);
    a.bns("writePattern.return");
    fail(code, "fsync, error");
    a.label("writePattern.error");
    fail(code, "write, error");
    a.label("writePattern.short");
    fail(code, "short write, bytes");
  });
}
