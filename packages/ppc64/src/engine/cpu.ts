// The CPU as its users see it: registers, run(), and the exits that the machine around it answers (hypercalls, device
// accesses, the RTAS trap address). One Cpu is one hardware thread of a POWER9 in a little-endian, radix, LPAR guest.

import { Ppc64Error } from "../error.ts";
import { instantiate, sharedMemory, type WasmMemory } from "../wasm/runtime.ts";
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
import { Clock } from "./clock.ts";
import { type CpuCounters, readCounters } from "./counters.ts";
import { Decoder } from "./decoder.ts";
import { type Environment, type InterpreterExports, interpreterModule } from "./interpreter.ts";
import { Interrupts } from "./interrupts.ts";
import { memoryPlan, Step } from "./layout.ts";
import { Access, RadixMmu } from "./radix.ts";
import { Registers } from "./registers.ts";
import { instructionTable } from "./semantics/index.ts";
import { CpuState } from "./state.ts";
import { SystemInstructions } from "./system.ts";
import { SoftTlb } from "./tlb.ts";

export interface CpuOptions {
  /** Bytes of guest RAM from guest real 0: a multiple of 64 KiB, below about 4 GiB minus the decode pool. */
  readonly ramBytes: number;
  /** Processor version register. Default: POWER9 DD2.2. */
  readonly pvr?: number;
  /** How many code pages are kept decoded, 20 KiB each. Default 4096. */
  readonly decodePages?: number;
  /** An instruction fetch from this guest real address, with relocation off, leaves run() (RTAS entry point). */
  readonly trapAddress?: number;
}

/** Why run() returned. */
export const ExitReason = { budget: 0, hcall: 1, mmio: 2, trap: 3, halt: 4 } as const;

export interface CpuExit {
  gpa: number;
  size: number;
  write: boolean;
  lo: number;
  hi: number;
  message: string;
}

const DEFAULT_PVR = 0x004e1202;
const DEFAULT_DECODE_PAGES = 4096;
const LARGEST_MEMORY = 2 ** 32;

function checkedPlan(options: CpuOptions): { ramOffset: number; totalBytes: number; poolPages: number } {
  const { ramBytes } = options;
  const poolPages = options.decodePages ?? DEFAULT_DECODE_PAGES;
  if (!Number.isInteger(ramBytes) || ramBytes <= 0 || ramBytes % 65536 !== 0) {
    throw new Ppc64Error(`ramBytes is ${ramBytes}, which is no positive multiple of 64 KiB`, {
      code: "CPU_RAM_SIZE",
      details: { ramBytes },
    });
  }
  if (!Number.isInteger(poolPages) || poolPages < 1) {
    throw new Ppc64Error(`decodePages is ${poolPages}; at least one page is needed`, {
      code: "CPU_DECODE_PAGES",
      details: { poolPages },
    });
  }
  const plan = memoryPlan(ramBytes, poolPages);
  if (plan.totalBytes > LARGEST_MEMORY) {
    throw new Ppc64Error(`${ramBytes} bytes of RAM do not fit: state, decode pool and RAM share 4 GiB`, {
      code: "CPU_RAM_SIZE",
      details: { ramBytes, ...plan },
      hint: `At most ${LARGEST_MEMORY - plan.ramOffset} bytes fit with this decode pool.`,
    });
  }
  return { ...plan, poolPages };
}

export class Cpu extends Registers {
  readonly memory: WasmMemory;
  /** Byte offset of guest real 0 in `memory`. */
  readonly ramOffset: number;
  readonly ramBytes: number;
  /** Filled when run() returns mmio, trap or halt; one object, reused. */
  readonly exit: CpuExit = { gpa: 0, size: 0, write: false, lo: 0, hi: 0, message: "" };
  private readonly wasm: InterpreterExports;
  private readonly clock: Clock;
  private readonly mmu: RadixMmu;
  private readonly tlb: SoftTlb;
  private readonly interrupts: Interrupts;
  private readonly decoder: Decoder;
  private readonly access: MemoryAccess;
  private readonly system: SystemInstructions;
  private readonly trapAddress: number;
  private reason: number = ExitReason.budget;
  private codeMisses = 0;

  /** Allocates guest memory and compiles the interpreter, synchronously. Throws Ppc64Error on impossible options. */
  static create(options: CpuOptions): Cpu {
    const { ramOffset, totalBytes, poolPages } = checkedPlan(options);
    const memory = sharedMemory(totalBytes);
    return new Cpu(options, memory, new CpuState(memory), { ramOffset, totalBytes, poolPages });
  }

  private constructor(
    options: CpuOptions,
    memory: WasmMemory,
    state: CpuState,
    plan: { ramOffset: number; totalBytes: number; poolPages: number },
  ) {
    super(state);
    const { ramBytes } = options;
    const { ramOffset, totalBytes, poolPages } = plan;
    this.memory = memory;
    this.ramOffset = ramOffset;
    this.ramBytes = ramBytes;
    this.trapAddress = options.trapAddress ?? -1;

    const table = instructionTable();
    const environment: Environment = {
      memory,
      fetch: () => this.fetch(),
      decode: (ip) => this.decoder.decode(ip),
      system: (ip) => this.system.execute(ip),
      load: (low, high, bytes) => this.access.access(low >>> 0, high >>> 0, bytes, false),
      store: (low, high, bytes) => this.access.access(low >>> 0, high >>> 0, bytes, true),
      touch: (low, high, _bytes, write) => this.access.touch(low >>> 0, high >>> 0, write !== 0),
    };
    const wasm = instantiate<InterpreterExports>(interpreterModule(table, totalBytes), environment);
    const clock = new Clock(state);
    const interrupts = new Interrupts(state, clock);
    const tlb = new SoftTlb(state, wasm);
    const mmu = new RadixMmu(state, ramOffset, ramBytes);
    const flushCode = (): void => tlb.flushCode();
    const decoder = new Decoder({ state, wasm, table, ramOffset, ramBytes, poolPages, flushCode });
    const hypercall = (): number => this.leave(ExitReason.hcall);
    const device = (): number => this.leave(ExitReason.mmio);
    this.wasm = wasm;
    this.clock = clock;
    this.interrupts = interrupts;
    this.tlb = tlb;
    this.mmu = mmu;
    this.decoder = decoder;
    this.system = new SystemInstructions({ state, clock, interrupts, tlb, decoder, hypercall });
    this.access = new MemoryAccess({ state, mmu, tlb, interrupts, ramOffset, request: this.exit, exit: device });
    state.setSpr(SPR_PVR, options.pvr ?? DEFAULT_PVR, 0);
    state.setMsr(MSR_LE, MSR_SF_HI);
  }

  /**
   * Executes until an exit, or until `budget` instructions are done (it may overrun by one straight line of code).
   * Returns an ExitReason; hcall: PC is behind the `sc`. mmio: answer with completeMmio(). trap: PC is the trap address.
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
      if (this.wasm.run() === Step.exit) return this.reason;
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

  /** Level of the external interrupt line; looked at when run() starts and whenever the guest sets MSR[EE]. */
  setExternalInterrupt(level: boolean): void {
    this.interrupts.externalLevel = level;
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
    return readCounters(this.access, this.decoder, this.interrupts, this.codeMisses);
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

  /** Code TLB miss at PC. */
  private fetch(): number {
    this.codeMisses++;
    const { state, mmu } = this;
    const { pcLo, pcHi } = state;
    const relocated = (state.msrLo & MSR_IR) !== 0;
    if (!relocated && pcHi * 2 ** 32 + pcLo === this.trapAddress) {
      this.exit.gpa = this.trapAddress;
      return this.leave(ExitReason.trap);
    }
    if (!state.modelled) return this.halt("The guest switched to big-endian or 32-bit mode, which is not modelled,");
    if (!mmu.translate(pcLo, pcHi, Access.fetch)) {
      this.interrupts.instruction(mmu.cause);
      return Step.resync;
    }
    if (!mmu.inRam) {
      if (!relocated) return this.halt("Instruction fetch outside of RAM");
      this.interrupts.instruction(SRR1_NO_EXECUTE);
      return Step.resync;
    }
    const records = this.decoder.page(mmu.realLo >>> 12);
    this.tlb.enterCode(pcLo, pcHi, records);
    return Step.next;
  }
}
