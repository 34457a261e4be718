// Instructions that change the context of the machine, and everything that ends in an interrupt. The interpreter hands
// over whatever it has no code for, or gave up on (a trap condition that holds, a misaligned reservation); the word says which.
// Source: Power ISA 3.0B Book III chapters 3 to 6.

import { type EncodingRow, encodingByName, findEncoding } from "../isa/encodings.ts";
import {
  FACILITY_SCV,
  MSR_DR,
  MSR_EE,
  MSR_FP,
  MSR_IR,
  MSR_LE,
  MSR_ME,
  MSR_PR,
  MSR_RI,
  MSR_SF_HI,
  MSR_VEC,
  MSR_VSX,
  PROGRAM_ILLEGAL,
  PROGRAM_PRIVILEGED,
  PROGRAM_TRAP,
  SPR_AMR,
  SPR_AMR_USER,
  SPR_CTR,
  SPR_DEC,
  SPR_FSCR,
  SPR_IAMR,
  SPR_LR,
  SPR_PIDR,
  SPR_SRR0,
  SPR_SRR1,
  SPR_UAMOR,
  SPR_VTB,
  VECTOR_FP_UNAVAILABLE,
  VECTOR_SYSTEM_CALL,
  VECTOR_VMX_UNAVAILABLE,
  VECTOR_VSX_UNAVAILABLE,
} from "./bits.ts";
import type { CacheInstructions } from "./cache-watch.ts";
import type { Clock } from "./clock.ts";
import type { Decoder } from "./decoder.ts";
import type { Interrupts } from "./interrupts.ts";
import { Step } from "./layout.ts";
import { isReadOnlySpr, SPR_PRIVILEGED_BIT } from "./sprs.ts";
import type { CpuState } from "./state.ts";
import type { SoftTlb } from "./tlb.ts";

/** MSR bits that exist in a guest without hypervisor state, transactions or big-endian mode. */
const MSR_WRITABLE = 0x0280ff37;
const PAGE_BITS_BY_AP = [12, 0, 0, 0, 0, 16, 0, 0];

type Action = (word: number) => number;

export class SystemInstructions {
  private readonly state: CpuState;
  private readonly clock: Clock;
  private readonly interrupts: Interrupts;
  private readonly tlb: SoftTlb;
  private readonly decoder: Decoder;
  private readonly hypercall: () => number;
  private readonly cache: CacheInstructions | undefined;
  private readonly actions = new Map<EncodingRow, Action>();

  constructor(options: {
    state: CpuState;
    clock: Clock;
    interrupts: Interrupts;
    tlb: SoftTlb;
    decoder: Decoder;
    hypercall: () => number;
    /** Absent: nobody hears of flushes, and they do not come here. */
    cache?: CacheInstructions | undefined;
  }) {
    this.state = options.state;
    this.clock = options.clock;
    this.interrupts = options.interrupts;
    this.tlb = options.tlb;
    this.decoder = options.decoder;
    this.hypercall = options.hypercall;
    this.cache = options.cache;
    this.fillActions();
  }

  /** Carries out the instruction of the record at `ip`; PC holds its address. Returns a Step value. */
  execute(ip: number): number {
    return this.executeWord(this.decoder.wordAt(ip));
  }

  /** The same for an instruction word; PC holds its address. */
  executeWord(word: number): number {
    const row = findEncoding(word);
    if (row === undefined) return this.program(PROGRAM_ILLEGAL);
    if (row.unit !== "fx") return this.unavailable(row.unit);
    if (row.priv && this.state.problemState) return this.program(PROGRAM_PRIVILEGED);
    if (row.beOnly) return this.alignment(word, row);
    const action = this.actions.get(row);
    return action === undefined ? this.program(PROGRAM_ILLEGAL) : action(word);
  }

  private fillActions(): void {
    const on = (names: string, action: Action): void => {
      for (const name of names.split(" ")) this.actions.set(encodingByName(name)!, action);
    };
    on("sc", (word) => this.systemCall((word >>> 5) & 0x7f));
    on("scv", (word) => this.systemCallVectored((word >>> 5) & 0x7f));
    on("rfid", () => this.returnTo(SPR_SRR0, SPR_SRR1));
    on("rfscv", () => this.returnTo(SPR_LR, SPR_CTR));
    on("mtmsrd", (word) => this.moveToMsr(word, true));
    on("mtmsr", (word) => this.moveToMsr(word, false));
    on("mfspr mftb", (word) => this.moveFromSpr(word));
    on("mtspr", (word) => this.moveToSpr(word));
    on("tlbie tlbiel", (word) => this.invalidateTranslation(word));
    on("icbi", () => {
      this.tlb.flushCode();
      return this.complete();
    });
    on("dcbst", (word) => this.told(() => this.cache?.flush(word, false)));
    on("dcbf", (word) => this.told(() => this.cache?.flush(word, true)));
    on("sync", (word) => this.told(() => this.cache?.sync(word)));
    // Radix translation has no segments; the kernel clears them all the same.
    on("slbia slbie slbieg slbmte slbsync msgsync msgclr msgclrp tlbsync", () => this.complete());
    on("tw td twi tdi", () => this.program(PROGRAM_TRAP));
    for (const name of "lharx lwarx ldarx sthcx. stwcx. stdcx. lq stq".split(" ")) {
      const row = encodingByName(name)!;
      this.actions.set(row, (word) => this.alignment(word, row));
    }
  }

  private told(tell: () => void): number {
    tell();
    return this.complete();
  }

  private complete(): number {
    const { state } = this;
    const next = (state.pcLo + 4) >>> 0;
    state.setPc(next, next === 0 ? state.pcHi + 1 : state.pcHi);
    this.clock.count();
    return Step.resync;
  }

  private program(cause: number): number {
    this.interrupts.program(cause);
    return Step.resync;
  }

  private unavailable(unit: "fp" | "vmx" | "vsx"): number {
    const msr = this.state.msrLo;
    const [bit, vector] =
      unit === "fp"
        ? [MSR_FP, VECTOR_FP_UNAVAILABLE]
        : unit === "vmx"
          ? [MSR_VEC, VECTOR_VMX_UNAVAILABLE]
          : [MSR_VSX, VECTOR_VSX_UNAVAILABLE];
    if ((msr & bit) !== 0) return this.program(PROGRAM_ILLEGAL);
    this.interrupts.raise(vector, 0);
    return Step.resync;
  }

  private alignment(word: number, row: EncodingRow): number {
    const { gpr64 } = this.state;
    const ra = (word >>> 16) & 31;
    const displacement = row.form === "X" ? gpr64[(word >>> 11) & 31]! : BigInt(((word & 0xfff0) << 16) >> 16);
    const ea = (ra === 0 ? 0n : gpr64[ra]!) + (row.name.endsWith("i") ? 0n : displacement);
    this.interrupts.alignment(Number(ea & 0xffffffffn), Number((ea >> 32n) & 0xffffffffn));
    return Step.resync;
  }

  private systemCall(level: number): number {
    if (level > 1) return this.program(PROGRAM_ILLEGAL);
    if (level === 1 && this.state.problemState) return this.program(PROGRAM_PRIVILEGED);
    this.complete();
    if (level === 1) return this.hypercall();
    this.interrupts.raise(VECTOR_SYSTEM_CALL, 0);
    return Step.resync;
  }

  private systemCallVectored(level: number): number {
    if ((this.state.sprLo(SPR_FSCR) & (1 << FACILITY_SCV)) === 0) this.interrupts.facility(FACILITY_SCV);
    else this.interrupts.systemCallVectored(level);
    return Step.resync;
  }

  /** MSR changed: problem state implies EE, IR and DR; a pending interrupt may now be taken. */
  private enter(lo: number, hi: number): number {
    const implied = (lo & MSR_PR) !== 0 ? MSR_EE | MSR_IR | MSR_DR : 0;
    this.state.setMsr((lo & MSR_WRITABLE) | implied, hi & MSR_SF_HI);
    this.interrupts.deliverPending();
    this.clock.plan();
    return Step.resync;
  }

  private returnTo(address: number, msr: number): number {
    const { state } = this;
    this.clock.count();
    state.setPc(state.sprLo(address) & ~3, state.sprHi(address));
    return this.enter(state.sprLo(msr), state.sprHi(msr));
  }

  private moveToMsr(word: number, doubleword: boolean): number {
    const { state } = this;
    const source = (word >>> 21) & 31;
    const [lo, old] = [state.gprLo(source), state.msrLo];
    this.complete();
    const kept = (word & (1 << 16)) !== 0 ? ~(MSR_EE | MSR_RI) : MSR_LE | MSR_ME;
    const wholeHi = doubleword && (word & (1 << 16)) === 0;
    return this.enter((old & kept) | (lo & ~kept), wholeHi ? state.gprHi(source) : state.msrHi);
  }

  private refuseSpr(n: number): number {
    return this.program(n & SPR_PRIVILEGED_BIT ? PROGRAM_PRIVILEGED : PROGRAM_ILLEGAL);
  }

  private moveFromSpr(word: number): number {
    const { state } = this;
    const n = ((word >>> 16) & 31) | ((word >>> 6) & 0x3e0);
    const target = (word >>> 21) & 31;
    if (state.problemState && n !== SPR_AMR_USER) return this.refuseSpr(n);
    if (n === SPR_DEC) {
      // The 32-bit decrementer reads sign-extended.
      const value = this.clock.decrementer();
      state.setGpr(target, value, value < 0 ? -1 : 0);
    } else if (n === SPR_VTB) {
      // One thread that always runs: virtual time is the time base.
      const time = this.clock.timebase();
      state.setGpr(target, time % 2 ** 32, Math.floor(time / 2 ** 32));
    } else {
      const home = n === SPR_AMR_USER ? SPR_AMR : n;
      state.setGpr(target, state.sprLo(home), state.sprHi(home));
    }
    return this.complete();
  }

  private moveToSpr(word: number): number {
    const { state } = this;
    const n = ((word >>> 16) & 31) | ((word >>> 6) & 0x3e0);
    const source = (word >>> 21) & 31;
    if (state.problemState && n !== SPR_AMR_USER) return this.refuseSpr(n);
    const [lo, hi] = [state.gprLo(source), state.gprHi(source)];
    if (n === SPR_DEC) {
      this.complete();
      this.clock.setDecrementer(lo);
      this.interrupts.deliverPending();
      this.clock.plan();
      return Step.resync;
    }
    if (n === SPR_AMR || n === SPR_AMR_USER) this.setAmr(lo, hi, n === SPR_AMR_USER && state.problemState);
    else if (n === SPR_PIDR || n === SPR_IAMR) {
      const changed = state.sprLo(n) !== lo || state.sprHi(n) !== hi;
      state.setSpr(n, lo, hi);
      if (changed) this.tlb.flushAll();
    } else if (!isReadOnlySpr(n)) state.setSpr(n, lo, hi);
    return this.complete();
  }

  /** Key 0 of AMR selects one of four kernel TLBs, so no flush is needed. Problem state changes what UAMOR lets it. */
  private setAmr(lo: number, hi: number, masked: boolean): void {
    const { state } = this;
    const maskLo = masked ? state.sprLo(SPR_UAMOR) : -1;
    const maskHi = masked ? state.sprHi(SPR_UAMOR) : -1;
    state.setSpr(
      SPR_AMR,
      (state.sprLo(SPR_AMR) & ~maskLo) | (lo & maskLo),
      (state.sprHi(SPR_AMR) & ~maskHi) | (hi & maskHi),
    );
    state.selectContext();
  }

  /** RB: effective page, AP in bits 5..7 and IS in bits 10..11. What is not one small page flushes everything. */
  private invalidateTranslation(word: number): number {
    const rb = (word >>> 11) & 31;
    const lo = this.state.gprLo(rb);
    const ric = (word >>> 18) & 3;
    const pageBits = (lo & 0xc00) === 0 && ric === 0 ? PAGE_BITS_BY_AP[(lo >>> 5) & 7]! : 0;
    if (pageBits === 0) this.tlb.flushAll();
    else this.tlb.flushPage((lo & -(2 ** pageBits)) >>> 0, pageBits);
    return this.complete();
  }
}
