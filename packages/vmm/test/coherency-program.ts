// Guest programs that hand memory to edu, the teaching device, in slot 1, and do it well or badly: what a driver does to caches
// and DMA windows, one step a call. Real mode, but for mappings that a test asks for.
import { H_PUT_TCE, H_STUFF_TCE } from "@minivmm/kvm";
import { CACHE_BLOCK } from "@minivmm/ppc64";
import { buildElf, PF_R, PF_W, PF_X, r1, r3, r4, r5, r6, r7, r8, r9, r10 } from "@minivmm/ppc64/asm";
import { type BareSettings, bareSettings, MEMORY, MMIO_WINDOW_32 } from "../src/guests/bare-layout.ts";
import { emitConfigAccess, emitConsole, emitPowerOff, emitRtas } from "../src/guests/bare-platform.ts";
import { emitRelocation, type RadixMapping, RadixTables } from "../src/guests/bare-radix.ts";
import { assignBars, failUnlessZero } from "../src/guests/bare-steps.ts";
import { emitEndianTrampoline } from "../src/guests/bare-trampoline.ts";
import { GuestCode } from "../src/guests/guest-code.ts";
import { emitNumberRoutines } from "../src/guests/guest-routines.ts";

/** A page for the device, and its place on the bus. */
export const PAGE = 0x110_0000;
export const BUS = 0x20_0000;
export const READ = 1;
export const WRITE = 2;
export const RAM_BYTES = 64 << 20;
/** Of the default window. */
export const LIOBN = 0x8000_0000;

const EDU_BUFFER = 0x4_0000;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;
/** edu's Express capability, and DEVCTL without Enable No Snoop. */
const EDU_DEVCTL = 0x68;
const DEVCTL_WITHOUT_NO_SNOOP = 0x2010;
const TABLES = 0x180_0000;
const MIB_2 = 0x20_0000;

export class DriverProgram {
  readonly code: GuestCode;
  private readonly s: BareSettings;

  constructor(code: GuestCode, s: BareSettings) {
    this.code = code;
    this.s = s;
  }

  /** Stores a word, through whatever mapping the address has. */
  store(address: number, value: number): this {
    const { a } = this.code;
    a.li64(r3, address);
    a.li64(r4, value);
    a.std(r4, 0, r3);
    return this;
  }

  /** Address of the load. */
  load(address: number): bigint {
    const { a } = this.code;
    a.li64(r3, address);
    const at = BigInt(a.here);
    a.ld(r4, 0, r3);
    return at;
  }

  flush(kind: "dcbf" | "dcbst", address: number, bytes: number): this {
    const { a } = this.code;
    for (let at = address; at < address + bytes; at += CACHE_BLOCK) {
      a.li64(r3, at);
      if (kind === "dcbf") a.dcbf(0, r3);
      else a.dcbst(0, r3);
    }
    return this;
  }

  sync(kind: "hwsync" | "lwsync" = "hwsync"): this {
    if (kind === "hwsync") this.code.a.hwsync();
    else this.code.a.lwsync();
    return this;
  }

  /** H_PUT_TCE; permissions 0 take the page out. Address of the call. */
  put(bus: number, real: number, permissions: number): bigint {
    return this.call([H_PUT_TCE, this.s.liobn, bus, permissions === 0 ? 0 : real | permissions]);
  }

  /** H_STUFF_TCE with nothing. Address of the call. */
  clear(bus: number, pages: number): bigint {
    return this.call([H_STUFF_TCE, this.s.liobn, bus, 0, pages]);
  }

  /** edu reads from memory, or writes to it. Address of the store that starts it. */
  dma(access: "read" | "write", bus: number, bytes: number): bigint {
    const { a } = this.code;
    const [from, to] = access === "read" ? [bus, EDU_BUFFER] : [EDU_BUFFER, bus];
    a.li64(r3, this.s.barRealAddress);
    for (const [register, value] of [
      [DMA_SOURCE, from],
      [DMA_DESTINATION, to],
      [DMA_COUNT, bytes],
    ] as const) {
      a.li64(r4, value);
      a.std(r4, register, r3);
    }
    a.li(r4, access === "read" ? 1 : 3);
    const at = BigInt(a.here);
    a.std(r4, DMA_COMMAND, r3);
    return at;
  }

  /** Takes from edu what lets it say No Snoop. */
  forbidNoSnoop(): this {
    const { a } = this.code;
    a.li(r3, EDU_DEVCTL);
    a.li(r4, 2);
    a.li64(r5, DEVCTL_WITHOUT_NO_SNOOP);
    a.bl("writeConfig");
    failUnlessZero(this.code, "writing DEVCTL, RTAS status");
    return this;
  }

  private call(registers: readonly number[]): bigint {
    const { a } = this.code;
    const names = [r3, r4, r5, r6, r7, r8, r9, r10];
    registers.forEach((value, index) => {
      a.li64(names[index] as number, value);
    });
    const at = BigInt(a.here);
    a.sc(1);
    failUnlessZero(this.code, "hypercall status");
    return at;
  }
}

/** ELF image. `mappings`: relocation is on, with these beside RAM at its own addresses and edu's registers. */
export function driverProgram(body: (program: DriverProgram) => void, mappings?: readonly RadixMapping[]): Uint8Array {
  const s = bareSettings(MMIO_WINDOW_32);
  const code = new GuestCode(s.loadAddress);
  const { a } = code;
  emitEndianTrampoline(code);
  a.li64(r1, s.memoryBase + MEMORY.stackTop - 128);
  assignBars(code, [s.barBusAddress]);
  const segments = [];
  let settings = s;
  if (mappings !== undefined) {
    const registers = 0x1_0000_0000;
    const tables = new RadixTables(TABLES, [
      { effective: 0, real: 0, bytes: 0x200_0000, attribute: "normal" },
      { effective: registers, real: s.barRealAddress, bytes: MIB_2, attribute: "non-idempotent" },
      ...mappings,
    ]);
    emitRelocation(code, tables);
    segments.push({ address: TABLES, bytes: tables.bytes(), flags: PF_R | PF_W });
    settings = { ...s, barRealAddress: registers };
  }
  body(new DriverProgram(code, settings));
  code.print("done\n");
  a.b("powerOff");
  emitConsole(code, s);
  emitRtas(code, s);
  emitConfigAccess(code, s);
  emitPowerOff(code, s);
  emitNumberRoutines(code);
  const program = { address: s.loadAddress, bytes: code.finish(), flags: PF_R | PF_W | PF_X };
  return buildElf({ entry: s.loadAddress, segments: [program, ...segments] });
}
