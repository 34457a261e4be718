// A static, integer-only ppc64le Linux /init made with the mini assembler: it loads the NVMe driver's modules, waits for
// the disk, reads and checks a known pattern with O_DIRECT, writes another one behind it, reads that back, says PASS or
// FAIL on the console and switches the machine off. It needs no C library, no FP and no vector registers.
// Registers that live through main: r31 = disk descriptor, r30 = offset, r29 = end offset, r28 = buffer.

import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r5, r6, r7, r14, r27, r28, r29, r30, r31 } from "@minivmm/ppc64/asm";
import { type DiskPattern, READ_PATTERN, WRITE_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";
import {
  BLKGETSIZE64,
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_MAGIC1,
  LINUX_REBOOT_MAGIC2,
  O_DIRECT,
  O_RDONLY,
  O_RDWR,
  systemCall,
} from "./linux-calls.ts";

export interface LinuxDiskInitOptions {
  /** Paths of kernel modules in the initramfs, in loading order (dependencies first), not compressed. Default none. */
  readonly modules?: readonly string[];
  /** Default "/dev/nvme0n1". */
  readonly device?: string;
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

const TEXT_ADDRESS = 0x400000;
const DATA_ADDRESS = 0x800000;
const EEXIST = 17;
const STEP_NANOSECONDS = 50_000_000;
const LINE_BYTES = 256;

type Settings = Required<LinuxDiskInitOptions>;

/** ELF image of the init program. */
export function linuxDiskInit(options: LinuxDiskInitOptions = {}): Uint8Array {
  const settings: Settings = {
    modules: [],
    device: "/dev/nvme0n1",
    bytes: 1 << 20,
    requestBytes: 64 << 10,
    waitSteps: 200,
    interactive: false,
    asInit: true,
    ...options,
  };
  const code = new GuestCode(TEXT_ADDRESS);
  code.a.define("buffer", DATA_ADDRESS);
  emitMain(code, settings);
  emitConsole(code);
  emitNumberRoutines(code);
  emitPatternRoutines(code);
  if (settings.asInit) emitMounts(code);
  emitLoadModule(code);
  emitOpenDisk(code, settings);
  emitPrintSize(code);
  emitVerify(code, settings);
  emitWrite(code, settings);
  if (settings.interactive) emitEcho(code);
  const text = code.finish();
  const bufferBytes = Math.max(settings.requestBytes, 4096);
  return buildElf({
    entry: TEXT_ADDRESS,
    segments: [
      { address: TEXT_ADDRESS, bytes: text, flags: PF_R | PF_X },
      { address: DATA_ADDRESS, bytes: new Uint8Array(0), memorySize: bufferBytes, flags: PF_R | PF_W },
    ],
  });
}

/** The program from top to bottom; every step is a subroutine that returns or ends in a FAIL line. */
function emitMain(code: GuestCode, s: Settings): void {
  const { a } = code;
  a.label("main");
  a.clrrdi(r1, r1, 4);
  a.stdu(r1, -64, r1);
  if (s.asInit) a.bl("mounts");
  code.print("minivmm-init: started\n");
  for (const path of s.modules) {
    a.la(r3, code.text(path));
    a.bl("loadModule");
  }
  a.bl("openDisk");
  a.mr(r31, r3);
  a.bl("printSize");

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
  code.print("minivmm-init: PASS\n");
  a.li(r14, 0);
  if (s.interactive) a.bl("echo");

  a.label("finish"); // r14 = exit status
  if (s.asInit) {
    systemCall(code, "sync");
    a.li64(r3, LINUX_REBOOT_MAGIC1);
    a.li64(r4, LINUX_REBOOT_MAGIC2);
    a.li64(r5, LINUX_REBOOT_CMD_POWER_OFF);
    systemCall(code, "reboot");
  }
  a.mr(r3, r14);
  systemCall(code, "exit");
  a.b("finish");
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

/** Prints "minivmm-init: FAIL <what> <r27 in decimal>" and ends with status 1. */
function fail(code: GuestCode, what: string): void {
  const { a } = code;
  code.print(`\nminivmm-init: FAIL ${what} `);
  a.mr(r3, r27);
  a.bl("putDecimal");
  code.print("\n");
  a.li(r14, 1);
  a.b("finish");
}

/** "puts": write(1, r3, r4) until all is out; gives up silently when the console refuses. */
function emitConsole(code: GuestCode): void {
  const { a } = code;
  code.routine("puts", [r30, r31], 0, () => {
    a.mr(r30, r3);
    a.mr(r31, r4);
    a.label("puts.more");
    a.cmpdi(r31, 0);
    a.ble("puts.return");
    a.li(r3, 1);
    a.mr(r4, r30);
    a.mr(r5, r31);
    systemCall(code, "write");
    a.bso("puts.return");
    a.add(r30, r30, r3);
    a.sub(r31, r31, r3);
    a.b("puts.more");
  });
}

/** "mounts": devtmpfs, sysfs and proc; then the console on descriptors 0 to 2 if the initramfs had no /dev/console. */
function emitMounts(code: GuestCode): void {
  const { a } = code;
  code.routine("mounts", [], 0, () => {
    for (const [type, where] of [
      ["devtmpfs", "/dev"],
      ["sysfs", "/sys"],
      ["proc", "/proc"],
    ] as const) {
      a.la(r3, code.text(where));
      a.li(r4, 0o755);
      systemCall(code, "mkdir");
      a.la(r3, code.text(type));
      a.la(r4, code.text(where));
      a.la(r5, code.text(type));
      a.li(r6, 0);
      a.li(r7, 0);
      systemCall(code, "mount"); // already mounted is fine, and nothing below depends on sysfs or proc
    }
    a.la(r3, code.text("/dev/console"));
    a.li(r4, O_RDWR);
    systemCall(code, "open");
    a.bso("mounts.return");
    a.cmpdi(r3, 0);
    a.bne("mounts.spare");
    for (let i = 0; i < 2; i++) {
      a.li(r3, 0);
      systemCall(code, "dup");
    }
    a.b("mounts.return");
    a.label("mounts.spare");
    systemCall(code, "close");
  });
}

/** "loadModule": r3 = path. A module that is there already is fine; any other refusal is reported and not fatal. */
function emitLoadModule(code: GuestCode): void {
  const { a } = code;
  code.routine("loadModule", [r30, r31], 0, () => {
    a.mr(r30, r3);
    a.li(r4, O_RDONLY);
    systemCall(code, "open");
    a.bso("loadModule.error");
    a.mr(r31, r3);
    a.la(r4, code.text(""));
    a.li(r5, 0);
    systemCall(code, "finit_module");
    a.bso("loadModule.refused");
    a.label("loadModule.close");
    a.mr(r3, r31);
    systemCall(code, "close");
    a.b("loadModule.return");
    a.label("loadModule.refused");
    a.cmpdi(r3, EEXIST);
    a.beq("loadModule.close");
    a.label("loadModule.error");
    a.mr(r31, r3);
    code.print("module ");
    a.bl("putPath");
    code.print(": error ");
    a.mr(r3, r31);
    a.bl("putDecimal");
    code.print("\n");
  });
  // "putPath": prints the zero-terminated text at r30.
  code.routine("putPath", [], 0, () => {
    a.li(r4, 0);
    a.label("putPath.length");
    a.lbzx(r5, r30, r4);
    a.addi(r4, r4, 1);
    a.cmpwi(r5, 0);
    a.bne("putPath.length");
    a.subi(r4, r4, 1);
    a.mr(r3, r30);
    a.bl("puts");
  });
}

/** "openDisk": r3 = descriptor; tries again every 50 ms while the device is not there. */
function emitOpenDisk(code: GuestCode, s: Settings): void {
  const { a } = code;
  code.routine("openDisk", [r30], 16, (locals) => {
    a.li64(r30, s.waitSteps);
    a.label("openDisk.again");
    a.la(r3, code.text(s.device));
    a.li64(r4, s.asInit ? O_RDWR | O_DIRECT : O_RDWR);
    a.li(r5, 0);
    systemCall(code, "open");
    a.bns("openDisk.return");
    a.mr(r27, r3);
    a.addi(r30, r30, -1);
    a.cmpdi(r30, 0);
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
    fail(code, `cannot open ${s.device}, error`);
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

/** "verifyRead" and "verifyWritten": read r30..r29 and compare with the pattern; the first wrong word ends the program. */
function emitVerify(code: GuestCode, s: Settings): void {
  verifyRoutine(code, s, "verifyRead", READ_PATTERN, 0);
  verifyRoutine(code, s, "verifyWritten", WRITE_PATTERN, s.bytes);
}

/** Word 0 of the pattern lies at `base`. */
function verifyRoutine(code: GuestCode, s: Settings, name: string, pattern: DiskPattern, base: number): void {
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
function emitWrite(code: GuestCode, s: Settings): void {
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

/** "echo": gives every console line back, until one starts with "poweroff" or input ends. */
function emitEcho(code: GuestCode): void {
  const { a } = code;
  code.routine("echo", [r30], LINE_BYTES, (line) => {
    code.print('minivmm-init: echoing; "poweroff" ends\n');
    a.label("echo.next");
    a.li(r3, 0);
    a.addi(r4, r1, line);
    a.li(r5, LINE_BYTES);
    systemCall(code, "read");
    a.bso("echo.return");
    a.mr(r30, r3);
    a.cmpdi(r30, 0);
    a.beq("echo.return");
    code.print("echo: ");
    a.addi(r3, r1, line);
    a.mr(r4, r30);
    a.bl("puts");
    a.ld(r3, line, r1);
    a.li64(r4, new DataView(new TextEncoder().encode("poweroff").buffer).getBigUint64(0, true));
    a.cmpd(r3, r4);
    a.bne("echo.next");
  });
}
