// The CPU as its users see it: registers, run(), and the exits that the machine around it answers (hypercalls, device
// accesses, the RTAS trap address). One Cpu is one hardware thread of a POWER9 in a little-endian, radix, LPAR guest.

import { Ppc64Error } from "../error.ts";
import { functionTable, instantiate, type WasmMemory } from "../wasm/runtime.ts";
import { MemoryAccess } from "./access.ts";
import {
  MSR_EE,
  MSR_IR,
  MSR_LE,
  MSR_SF_HI,
  SPR_AMR,
  SPR_DEC,
  SPR_IAMR,
  SPR_PIDR,
  SPR_PVR,
  SPR_TB,
  SPR_XER,
  SRR1_NO_EXECUTE,
} from "./bits.ts";
import { CacheInstructions, type CacheWatch, WatchedAccesses } from "./cache-watch.ts";
import { Clock } from "./clock.ts";
import { CompiledHypercalls } from "./compiled-hypercalls.ts";
import { type CpuCounters, readCounters } from "./counters.ts";
import { Decoder } from "./decoder.ts";
import { ForeignMode } from "./foreign-mode.ts";
import { type AddressRange, lineBytes, StoreGathering } from "./gathering.ts";
import { allocateGuestRam, type GuestRam, type GuestRamOptions, giveBackGuestRam, takeGuestRam } from "./guest-ram.ts";
import { type Environment, type InterpreterExports, interpreterModule } from "./interpreter.ts";
import { Interrupts } from "./interrupts.ts";
import { DATA_TLBS, RECORD_BYTES, Step } from "./layout.ts";
import { PageFrames, type PageSource } from "./page-frames.ts";
import { Access, RadixMmu } from "./radix.ts";
import { RealMemory } from "./real-memory.ts";
import { Registers } from "./registers.ts";
import { instructionTable } from "./semantics/index.ts";
import { CpuState } from "./state.ts";
import { SystemInstructions } from "./system.ts";
import { SoftTlb } from "./tlb.ts";

export interface CpuOptions extends Partial<GuestRamOptions> {
  /** RAM to work on, made by allocateGuestRam(); absent: `ramBytes` and `decodePages` say what is allocated. */
  readonly ram?: GuestRam;
  /** Memory beyond RAM, reached page by page through the frames of `ram`. */
  readonly pages?: PageSource;
  /** Processor version register. Default: POWER9 DD2.2. */
  readonly pvr?: number;
  /** Somebody who wants to hear of what concerns data caches. It costs speed wherever the guest uses dcbf, dcbst or sync. */
  readonly cacheWatch?: CacheWatch;
  /** An instruction fetch from this guest real address, with relocation off, leaves run() (RTAS entry point). */
  readonly trapAddress?: number;
}

/** Why run() returned. */
export const ExitReason = { budget: 0, hcall: 1, mmio: 2, trap: 3, halt: 4, burst: 5 } as const;

/** burst: `lo` and `hi` are a mask of the 64 bytes at `gpa`, `bytes` holds them until the next run(). */
export interface CpuExit {
  gpa: number;
  size: number;
  write: boolean;
  lo: number;
  hi: number;
  message: string;
  readonly bytes: Uint8Array;
}

const DEFAULT_PVR = 0x004e1202;
export class Cpu extends Registers {
  readonly memory: WasmMemory;
  /** Byte offset of guest real 0 in `memory`. */
  readonly ramOffset: number;
  readonly ramBytes: number;
  /**
   * Asked about every hypercall before run() is left: true when it has answered in the registers, and the guest goes on.
   * Called inside the interpreter's dispatch, so it must not run this CPU.
   */
  hypercallInside: (() => boolean) | undefined;
  /** Compiled code that is asked before that, without leaving the interpreter. */
  readonly compiled: CompiledHypercalls;
  /** Filled when run() returns mmio, burst, trap or halt; one object, reused. */
  readonly exit: CpuExit;
  private readonly wasm: InterpreterExports;
  private readonly clock: Clock;
  private readonly mmu: RadixMmu;
  private readonly tlb: SoftTlb;
  private readonly interrupts: Interrupts;
  private readonly decoder: Decoder;
  private readonly access: MemoryAccess;
  private readonly gathering: StoreGathering;
  private readonly system: SystemInstructions;
  private readonly foreign: ForeignMode;
  private readonly real: RealMemory;
  private readonly ram: GuestRam;
  private readonly trapAddress: number;
  private reason: number = ExitReason.budget;
  private codeMisses = 0;

  /**
   * Compiles the interpreter, synchronously, and allocates guest memory unless it is given.
   * Throws Ppc64Error on impossible options.
   */
  static create(options: CpuOptions): Cpu {
    const ram = options.ram ?? allocateGuestRam({ ...options, ramBytes: options.ramBytes ?? 0 });
    takeGuestRam(ram);
    return new Cpu(options, ram, new CpuState(ram.memory));
  }

  private constructor(options: CpuOptions, ram: GuestRam, state: CpuState) {
    super(state);
    const { memory, ramOffset, ramBytes, totalBytes } = ram;
    this.ram = ram;
    this.memory = memory;
    this.ramOffset = ramOffset;
    this.ramBytes = ramBytes;
    this.trapAddress = options.trapAddress ?? -1;
    this.real = new RealMemory(ramOffset, ramBytes);

    const table = instructionTable();
    const { cacheWatch } = options;
    // Without a decoder of their own they are left to SystemInstructions.
    if (cacheWatch !== undefined) for (const name of ["dcbf", "dcbst", "sync"]) table.decoders.delete(name);
    const compiled = functionTable(1);
    const environment: Environment = {
      memory,
      compiled,
      fetch: () => this.fetch(),
      decode: (ip) => this.decoder.decode(ip),
      system: (ip) => (this.gathering.pending ? this.gathering.leave() : this.system.execute(ip)),
      load: (low, high, bytes) => this.access.access(low >>> 0, high >>> 0, bytes, false),
      store: (low, high, bytes) => this.access.access(low >>> 0, high >>> 0, bytes, true),
      touch: (low, high, bytes, write) => this.access.touch(low >>> 0, high >>> 0, bytes, write !== 0),
    };
    const wasm = instantiate<InterpreterExports>(interpreterModule(table, totalBytes), environment);
    // What another CPU may have left in this memory.
    wasm.fill(0, 0, DATA_TLBS);
    this.compiled = new CompiledHypercalls(state, compiled, wasm, ramOffset);
    this.compiled.setRamBytes(ramBytes);
    const clock = new Clock(state);
    const interrupts = new Interrupts(state, clock);
    const tlb = new SoftTlb(state, wasm);
    const { real } = this;
    const mmu = new RadixMmu(state, real);
    const flushCode = (): void => tlb.flushCode();
    const poolPages = ram.decodePages;
    const decoder = new Decoder({ state, wasm, table, ramBytes, poolPages, flushCode });
    const hypercall = (): number => (this.hypercallInside?.() === true ? Step.resync : this.leave(ExitReason.hcall));
    const device = (): number => this.leave(ExitReason.mmio);
    const burst = (): number => this.leave(ExitReason.burst);
    this.exit = { gpa: 0, size: 0, write: false, lo: 0, hi: 0, message: "", bytes: lineBytes(state) };
    const gathering = new StoreGathering({ state, line: this.exit, exit: burst });
    this.gathering = gathering;
    this.wasm = wasm;
    this.clock = clock;
    this.interrupts = interrupts;
    this.tlb = tlb;
    this.mmu = mmu;
    this.decoder = decoder;
    const cache = cacheWatch && new CacheInstructions({ watch: cacheWatch, state, mmu });
    const watched = cacheWatch && new WatchedAccesses(cacheWatch, mmu);
    const request = this.exit;
    this.system = new SystemInstructions({ state, clock, interrupts, tlb, decoder, hypercall, cache });
    this.access = new MemoryAccess({ state, mmu, tlb, interrupts, real, gathering, watched, request, exit: device });
    const halt = (message: string): number => this.halt(message);
    this.foreign = new ForeignMode({ state, clock, real, system: this.system, halt });
    if (options.pages !== undefined) {
      const forget = (): void => this.forgetMemory();
      const { frameOffset: start, framePages: count } = ram;
      real.frames = new PageFrames({ state, source: options.pages, start, count, forget });
    }
    state.setSpr(SPR_PVR, options.pvr ?? DEFAULT_PVR, 0);
    state.setMsr(MSR_LE, MSR_SF_HI);
  }

  /**
   * Executes until an exit, or until `budget` instructions are done (it may overrun by one straight line of code).
   * Returns an ExitReason; hcall: PC is behind the `sc`. mmio: answer with completeMmio(). trap: PC is the trap address.
   * burst: gathered stores (see setCombinable()) for a device; nothing is to be answered.
   */
  run(budget: number): number {
    const { clock } = this;
    this.reason = ExitReason.budget;
    clock.setBudget(budget);
    for (;;) {
      if (this.access.answered) {
        // The instruction that asked must be finished before anything else happens.
        clock.planSoon();
      } else {
        this.interrupts.deliverPending();
        clock.plan();
      }
      const step = this.wasm.run();
      if (step === Step.exit) return this.reason;
      if (step === Step.done) {
        this.finished();
        this.gathering.leave();
        return this.reason;
      }
      // What was gathered goes before the event that is due.
      if (this.gathering.pending) {
        this.gathering.leave();
        return this.reason;
      }
      if (clock.budgetLeft <= 0 && !this.access.answered) return ExitReason.budget;
    }
  }

  /** The answer to an mmio exit: the value read (ignored for a write). The next run() finishes the instruction. */
  completeMmio(lo: number, hi: number): void {
    if (this.reason !== ExitReason.mmio) {
      throw new Ppc64Error("completeMmio() was called, but run() did not leave for a device access", {
        code: "CPU_NO_MMIO",
        details: { lastExit: this.reason },
      });
    }
    this.exit.lo = lo >>> 0;
    this.exit.hi = hi >>> 0;
    this.access.answered = true;
  }

  /** Finishes the instruction that completeMmio() answered, and nothing else. */
  finishMmio(): void {
    if (!this.access.answered) return;
    const { state } = this;
    const { pcLo, pcHi } = state;
    const records = this.tlb.recordsOf(pcLo, pcHi) || this.recordsAt(pcLo, pcHi);
    if (records !== 0) {
      const ip = records + ((pcLo & 0xffc) >> 2) * RECORD_BYTES;
      // The interpreter decodes by itself, but does not come by here.
      if (state.u16[ip >> 1] === 0) this.decoder.decode(ip);
      if (this.wasm.step(ip) === Step.next) this.finished();
    }
    this.access.answered = false;
    this.reason = ExitReason.budget;
  }

  /** The instruction at PC has been executed. */
  private finished(): void {
    const { pcLo, pcHi } = this.state;
    this.state.setPc(pcLo + 4, pcLo === 0xfffffffc ? pcHi + 1 : pcHi);
    this.clock.count();
  }

  /**
   * Guest real addresses at which stores through pages of tolerant I/O may be combined, such as prefetchable BARs. Default
   * none: every store outside of RAM is an mmio exit. Not to be called while an mmio exit waits for its answer.
   */
  setCombinable(ranges: readonly AddressRange[]): void {
    this.gathering.use(ranges);
    this.tlb.flushAll();
  }

  /**
   * Level of the external interrupt line; looked at when run() starts and whenever the guest sets MSR[EE].
   * `once`: the line falls by itself when the interrupt is taken.
   */
  setExternalInterrupt(level: boolean, once = false): void {
    this.interrupts.externalLevel = level;
    this.interrupts.externalOnce = level && once;
  }

  get externalInterrupt(): boolean {
    return this.interrupts.externalLevel;
  }

  /** What H_CEDE does first. */
  setMsrEE(): void {
    this.state.setMsr(this.state.msrLo | MSR_EE, this.state.msrHi);
  }

  /** True when an external or decrementer interrupt is pending, whatever MSR[EE] says. */
  interruptDeliverable(): boolean {
    return this.interrupts.pending;
  }

  /** Instructions retired since the CPU was created; interrupts count as one each. */
  get retired(): number {
    return this.clock.retired;
  }

  /** The time base: retired instructions plus skipped ticks. */
  timebase(): number {
    return this.clock.timebase();
  }

  ticksToDecrementer(): number {
    return this.clock.ticksToDecrementer();
  }

  /** Let time pass while the guest sleeps. */
  advanceTimebase(ticks: number): void {
    this.clock.advance(ticks);
  }

  /** H_REGISTER_PROC_TBL: real address and log2 of the size in bytes. */
  setProcessTable(base: number, sizeLog2: number): void {
    this.mmu.setProcessTable(base, sizeLog2);
    this.tlb.flushAll();
  }

  flushTlb(): void {
    this.tlb.flushAll();
  }

  /** For a CacheWatch that answers otherwise from now on: nothing is taken from the soft TLBs, real mode included. */
  forgetTranslations(): void {
    this.tlb.forget();
  }

  /** Why run() came back last, an ExitReason: where PC is with respect to the instruction that left. */
  get lastExit(): number {
    return this.reason;
  }

  /** How much of RAM, from guest real 0, there is for the guest; at most `ramBytes`. Beyond it `pages` are asked. */
  setRamLimit(bytes: number): void {
    this.real.ramBytes = Math.min(bytes, this.ramBytes);
    this.compiled.setRamBytes(this.real.ramBytes);
    this.forgetMemory();
  }

  /** Writes pages of other memory back and drops the copies. To be called before anybody else looks at that memory. */
  syncPages(): void {
    this.real.frames?.sync();
  }

  /** The RAM may be given to another CPU; this one must not run any more. */
  release(): void {
    giveBackGuestRam(this.ram);
  }

  /** LPCR[AIL] = 3 (on) or 0, as H_SET_MODE asks. */
  setAil(on: boolean): void {
    this.interrupts.relocated = on;
  }

  /** A special-purpose register by number. */
  spr(n: number): bigint {
    if (n === SPR_XER) return BigInt(this.xer);
    if (n === SPR_TB) return BigInt(this.timebase());
    if (n === SPR_DEC) return BigInt.asUintN(64, BigInt(this.clock.decrementer()));
    return this.storedSpr(n);
  }

  setSpr(n: number, value: bigint): void {
    if (n === SPR_XER) this.xer = Number(BigInt.asUintN(32, value));
    else if (n === SPR_DEC) this.clock.setDecrementer(Number(BigInt.asIntN(32, value)));
    else {
      this.storeSpr(n, value);
      if (n === SPR_AMR) this.state.selectContext();
      if (n === SPR_PIDR || n === SPR_IAMR) this.tlb.flushAll();
    }
  }

  get counters(): CpuCounters {
    return readCounters(this.access, this.decoder, this.interrupts, this.gathering, this.codeMisses);
  }

  /** Where memory lies has changed, or may have. */
  private forgetMemory(): void {
    this.tlb.forget();
    this.state.clearReservation();
  }

  private leave(reason: number): number {
    this.reason = reason;
    return Step.exit;
  }

  private halt(message: string): number {
    const at = `0x${this.pc.toString(16)}`;
    this.exit.message = `${message} at ${at} (MSR 0x${this.msr.toString(16)})`;
    return this.leave(ExitReason.halt);
  }

  /** Decoded records of the page at a code address, 0 when nothing can be fetched there. */
  private recordsAt(pcLo: number, pcHi: number): number {
    const { mmu } = this;
    const host = mmu.translate(pcLo, pcHi, Access.fetch) ? mmu.host(false) : 0;
    return host === 0 ? 0 : this.decoder.page(mmu.realHi * 2 ** 20 + (mmu.realLo >>> 12), host & ~0xfff);
  }

  /** Code TLB miss at PC. */
  private fetch(): number {
    // It may become an interrupt, an exit, or another mode.
    if (this.gathering.pending) return this.gathering.leave();
    this.codeMisses++;
    const { state, mmu } = this;
    const { pcLo, pcHi } = state;
    const relocated = (state.msrLo & MSR_IR) !== 0;
    if (!relocated && pcHi * 2 ** 32 + pcLo === this.trapAddress) {
      this.exit.gpa = this.trapAddress;
      return this.leave(ExitReason.trap);
    }
    this.real.prepare();
    if (!state.modelled) return this.foreign.run();
    if (!mmu.translate(pcLo, pcHi, Access.fetch)) {
      this.interrupts.instruction(mmu.cause);
      return Step.resync;
    }
    const host = mmu.host(false);
    if (host === 0) {
      if (!relocated) return this.halt("Instruction fetch outside of RAM");
      this.interrupts.instruction(SRR1_NO_EXECUTE);
      return Step.resync;
    }
    const records = this.decoder.page(mmu.realHi * 2 ** 20 + (mmu.realLo >>> 12), host & ~0xfff);
    this.tlb.enterCode(pcLo, pcHi, records);
    return Step.next;
  }
}
