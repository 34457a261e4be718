// A guest without an operating system that draws: it fills frames in the memory of a display, by stores of eight bytes, through
// one of two mappings of it: guarded, where each store is a transaction of its own, and tolerant, where the CPU may combine
// them. The mapping is the only thing that differs between its parts, so their times and transactions compare the two.
// Every frame has other words, ends with sync, and lies at its part's own place, where it is in the end for the host to see;
// the last frame of each part is read back and checked through the guarded mapping.
// A part's measured frames lie between two stores to a register of the display that means nothing to it: a stopwatch for
// whoever plugs the display in. No clock of the guest is trusted.
// Registers: r26 = bytes drawn by this part, r25 = frames left, r27 = number for the FAIL line.
import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r25, r26, r27 } from "@minivmm/ppc64/asm";
import { type BareDiskOptions, bareSettings, MEMORY, MMIO_WINDOW_32 } from "./bare-layout.ts";
import { emitConfigAccess, emitConsole, emitPowerOff, emitRtas } from "./bare-platform.ts";
import { emitRelocation, RADIX_PAGE, RadixTables } from "./bare-radix.ts";
import { assignBars, failUnlessEqual, findFunction } from "./bare-steps.ts";
import { emitEndianTrampoline } from "./bare-trampoline.ts";
import { diskPattern, READ_PATTERN } from "./disk-pattern.ts";
import { GuestCode } from "./guest-code.ts";
import { emitNumberRoutines, emitPatternRoutines, loadPattern } from "./guest-routines.ts";

export interface FramesPart {
  readonly mapping: "guarded" | "tolerant";
  /** Of a frame: a multiple of 64, up to 1 MiB. */
  readonly bytes: number;
  /** Frames that are measured, at least one, and those before them that are not. */
  readonly frames: number;
  readonly warmUp: number;
}

/** Bytes of RAM that the program needs, and of the display's memory, which is BAR 0. */
export const FRAMES_RAM = 0x200_0000;
export const FRAMES_DISPLAY_MEMORY = 0x100_0000;
/** Offset of the stopwatch in BAR 2. */
export const FRAMES_STOPWATCH = 0x800;
export const FRAMES_PASS = "minivmm-bare: PASS";

const CLASS_VGA = 0x030000;
const PART_SPACE = 0x10_0000;
const PARTS_MAX = FRAMES_DISPLAY_MEMORY / PART_SPACE;
const TABLES = 0x140_0000;
const REGISTERS_AT = FRAMES_DISPLAY_MEMORY;
/** Effective addresses of the display's memory, and guarded of its registers. */
const EFFECTIVE = { guarded: 0x1_0000_0000, tolerant: 0x2_0000_0000, registers: 0x3_0000_0000 } as const;

/** Where a part draws in the display's memory. */
export function framesPartOffset(part: number): number {
  return part * PART_SPACE;
}

/** What a part leaves there: its last frame. */
export function framesPattern({ bytes, frames, warmUp }: FramesPart): Uint8Array {
  return diskPattern(bytes, READ_PATTERN, ((frames + warmUp - 1) * bytes) / 8);
}

/** ELF image for a VGA display in slot 1. Throws RangeError for parts that cannot be. */
export function framesProgram(parts: readonly FramesPart[], options: BareDiskOptions = {}): Uint8Array {
  for (const { bytes, frames, warmUp } of parts) {
    const fits = bytes >= 64 && bytes <= PART_SPACE && bytes % 64 === 0 && parts.length <= PARTS_MAX;
    if (!fits || !(frames >= 1 && frames < 2 ** 31) || !(warmUp >= 0 && warmUp < 2 ** 31)) {
      throw new RangeError(`a part of ${frames} frames of ${bytes} bytes after ${warmUp} cannot be`);
    }
  }
  const s = bareSettings({ ...MMIO_WINDOW_32, ...options });
  const code = new GuestCode(s.loadAddress);
  const { a } = code;
  const display = (mapping: FramesPart["mapping"]) => ({
    effective: EFFECTIVE[mapping],
    real: s.barRealAddress,
    bytes: FRAMES_DISPLAY_MEMORY,
    attribute: mapping === "tolerant" ? ("tolerant" as const) : ("non-idempotent" as const),
  });
  const registers = {
    effective: EFFECTIVE.registers,
    real: s.barRealAddress + REGISTERS_AT,
    bytes: RADIX_PAGE,
    attribute: "non-idempotent" as const,
  };
  const ram = { effective: 0, real: 0, bytes: FRAMES_RAM, attribute: "normal" as const };
  const tables = new RadixTables(TABLES, [ram, display("guarded"), display("tolerant"), registers]);

  emitEndianTrampoline(code);
  a.li64(r1, s.memoryBase + MEMORY.stackTop - 128);
  code.print("minivmm-bare: started\n");
  findFunction(code, CLASS_VGA, "a display");
  assignBars(code, [s.barBusAddress, undefined, s.barBusAddress + REGISTERS_AT]);
  emitRelocation(code, tables);
  parts.forEach((part, n) => {
    draw(code, part, n);
  });
  code.print(`${FRAMES_PASS}\n`);
  a.b("powerOff");

  emitConsole(code, s);
  emitRtas(code, s);
  emitConfigAccess(code, s);
  emitPowerOff(code, s);
  emitNumberRoutines(code);
  emitPatternRoutines(code);
  return buildElf({
    entry: s.loadAddress,
    segments: [
      { address: s.loadAddress, bytes: code.finish(), flags: PF_R | PF_W | PF_X },
      { address: TABLES, bytes: tables.bytes(), flags: PF_R | PF_W },
    ],
  });
}

function draw(code: GuestCode, part: FramesPart, n: number): void {
  const { a } = code;
  a.li(r26, 0);
  for (const frames of [part.warmUp, part.frames]) {
    if (frames > 0) drawFrames(code, part, n, frames);
    a.li64(r3, EFFECTIVE.registers + FRAMES_STOPWATCH);
    a.li(r4, n);
    a.stw(r4, 0, r3);
  }
  a.li64(r3, part.bytes);
  a.sub(r26, r26, r3);
  loadPattern(code, READ_PATTERN, r26);
  a.li64(r3, EFFECTIVE.guarded + framesPartOffset(n));
  a.li64(r4, part.bytes);
  a.bl("checkPattern");
  a.mr(r27, r3);
  a.cmpdi(r3, -1);
  failUnlessEqual(code, `part ${n}, first bad offset`);
}

function drawFrames(code: GuestCode, { mapping, bytes }: FramesPart, n: number, frames: number): void {
  const { a } = code;
  const again = code.fresh("frame");
  a.li64(r25, frames);
  a.label(again);
  loadPattern(code, READ_PATTERN, r26);
  a.li64(r3, EFFECTIVE[mapping] + framesPartOffset(n));
  a.li64(r4, bytes);
  a.add(r26, r26, r4);
  a.bl("fillPattern");
  a.hwsync();
  a.addi(r25, r25, -1);
  a.cmpdi(r25, 0);
  a.bne(again);
}
