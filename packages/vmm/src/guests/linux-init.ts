// A static, integer-only ppc64le Linux /init made with the mini assembler: it loads drivers' modules, waits for each
// disk, reads and checks a known pattern with O_DIRECT, writes another one behind it, reads that back, says PASS or
// FAIL on the console and switches the machine off. It needs no C library, no FP and no vector registers.
// Registers that live through main: r31 = disk descriptor, r30 = offset, r29 = end offset, r28 = buffer.

import { r1, r3, r4, r5, r14, r29, r30, r31 } from "@minivmm/ppc64/asm";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines } from "./guest-routines.ts";
import { O_RDONLY, systemCall } from "./linux-calls.ts";
import { emitDiskRoutines, type LinuxDiskInitOptions, type LinuxDiskInitSettings } from "./linux-disk.ts";
import { DATA_ADDRESS, emitConsole, emitFinish, emitMounts, linuxProgram, TEXT_ADDRESS } from "./linux-process.ts";

const EEXIST = 17;
const LINE_BYTES = 256;

/** ELF image of the init program. */
export function linuxDiskInit(options: LinuxDiskInitOptions = {}): Uint8Array {
  const settings: LinuxDiskInitSettings = {
    modules: [],
    devices: ["/dev/nvme0n1"],
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
  emitDiskRoutines(code, settings);
  if (settings.interactive) emitEcho(code);
  return linuxProgram(code, Math.max(settings.requestBytes, 4096));
}

/** The program from top to bottom; every step is a subroutine that returns or ends in a FAIL line. */
function emitMain(code: GuestCode, s: LinuxDiskInitSettings): void {
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
  for (const device of s.devices) {
    a.la(r3, code.text(device));
    emitTryDisk(code, s);
  }
  code.print("minivmm-init: PASS\n");
  a.li(r14, 0);
  if (s.interactive) a.bl("echo");

  emitFinish(code, s.asInit);
}

/** All steps with the disk whose path is in r3. */
function emitTryDisk(code: GuestCode, s: LinuxDiskInitSettings): void {
  const { a } = code;
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
  a.mr(r3, r31);
  systemCall(code, "close");
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
