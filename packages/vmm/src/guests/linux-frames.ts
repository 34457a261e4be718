// A static Linux /init that draws: it maps a display's memory twice, as the kernel offers BARs to user space in sysfs: resourceN,
// which is uncached and guarded, and resourceN_wc, which is write-combining and there for prefetchable BARs only. It fills a
// frame through each by stores of eight bytes, reads both back through the first mapping, says PASS or FAIL on the console and
// switches the machine off.
// Source: Documentation/PCI/sysfs-pci.rst; drivers/pci/pci-sysfs.c (pci_create_resource_files), drivers/pci/mmap.c.
// Registers: r31 = mapping of resource0, r30 = of resource0_wc, r27 = number for the FAIL line.
import { r1, r3, r4, r5, r6, r7, r8, r14, r27, r29, r30, r31 } from "@minivmm/ppc64/asm";
import { READ_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";
import { MAP_SHARED, O_RDWR, O_WRONLY, PROT_READ_WRITE, systemCall } from "./linux-calls.ts";
import { fail } from "./linux-disk.ts";
import { emitConsole, emitFinish, emitMounts, linuxProgram, TEXT_ADDRESS } from "./linux-process.ts";

export interface LinuxFramesInitOptions {
  /** PCI address of the display in the guest. Default "0000:00:01.0". */
  readonly device?: string;
  /** Bytes of a frame: a multiple of 8, up to 1 MiB. Default 64 KiB. */
  readonly bytes?: number;
}

/** Where in the display's memory the frame lies that is drawn through resource0_wc; the other one is at 0. */
export const LINUX_FRAMES_WC_OFFSET = 0x10_0000;

/** ELF image of the init program. */
export function linuxFramesInit(options: LinuxFramesInitOptions = {}): Uint8Array {
  const { device = "0000:00:01.0", bytes = 64 << 10 } = options;
  const code = new GuestCode(TEXT_ADDRESS);
  const { a } = code;
  const file = (name: string): string => `/sys/bus/pci/devices/${device}/${name}`;
  a.label("main");
  a.clrrdi(r1, r1, 4);
  a.stdu(r1, -64, r1);
  a.bl("mounts");
  code.print("minivmm-init: started\n");
  enable(code, file("enable"));
  map(code, file("resource0"));
  a.mr(r31, r3);
  map(code, file("resource0_wc"));
  a.mr(r30, r3);

  code.print("frames: resource0\n");
  fill(code, r31, 0, bytes);
  code.print("frames: resource0_wc\n");
  fill(code, r30, LINUX_FRAMES_WC_OFFSET, bytes);
  check(code, 0, bytes);
  check(code, LINUX_FRAMES_WC_OFFSET, bytes);
  code.print("minivmm-init: PASS\n");
  a.li(r14, 0);
  emitFinish(code, true);

  emitConsole(code);
  emitNumberRoutines(code);
  emitPatternRoutines(code);
  emitMounts(code);
  return linuxProgram(code, 4096);
}

/** Without a driver nobody else turns the function's memory decoding on. */
function enable(code: GuestCode, path: string): void {
  const { a } = code;
  open(code, path, O_WRONLY);
  a.la(r4, code.text("1"));
  a.li(r5, 1);
  systemCall(code, "write");
  unlessFailed(code, `write ${path}, error`);
}

/** r3 = address of the first 2 MiB of the file. */
function map(code: GuestCode, path: string): void {
  const { a } = code;
  open(code, path, O_RDWR);
  a.mr(r7, r3);
  a.li(r3, 0);
  a.li64(r4, 2 * LINUX_FRAMES_WC_OFFSET);
  a.li(r5, PROT_READ_WRITE);
  a.li(r6, MAP_SHARED);
  a.li(r8, 0);
  systemCall(code, "mmap");
  unlessFailed(code, `mmap ${path}, error`);
}

/** r3 = descriptor. */
function open(code: GuestCode, path: string, flags: number): void {
  const { a } = code;
  a.la(r3, code.text(path));
  a.li(r4, flags);
  a.li(r5, 0);
  systemCall(code, "open");
  unlessFailed(code, `open ${path}, error`);
}

function unlessFailed(code: GuestCode, what: string): void {
  const { a } = code;
  const good = code.fresh("good");
  a.bns(good);
  a.mr(r27, r3);
  fail(code, what);
  a.label(good);
}

/** The pattern of a disk, from the frame's own offset on. */
function fill(code: GuestCode, mapping: number, offset: number, bytes: number): void {
  const { a } = code;
  pattern(code, mapping, offset, bytes);
  a.bl("fillPattern");
  a.hwsync();
}

function check(code: GuestCode, offset: number, bytes: number): void {
  const { a } = code;
  pattern(code, r31, offset, bytes);
  a.bl("checkPattern");
  const good = code.fresh("good");
  a.mr(r27, r3);
  a.cmpdi(r3, -1);
  a.beq(good);
  fail(code, `frame at ${offset}, first bad offset`);
  a.label(good);
}

function pattern(code: GuestCode, mapping: number, offset: number, bytes: number): void {
  const { a } = code;
  a.li64(r29, offset);
  loadPattern(code, READ_PATTERN, r29);
  a.add(r3, mapping, r29);
  a.li64(r4, bytes);
}
