// Big-endian and 32-bit mode, as far as a little-endian 64-bit guest meets them: the firmware's entry (RTAS is called in
// 32-bit big-endian real mode) and the trampoline that leads back. One instruction at a time, outside of the interpreter.
// Source: Power ISA 3.0B Book I 1.9 (byte order) and 1.10.3 (32-bit mode: results are 64 bits wide, addresses 32).
// Invariants: real mode only; nothing here touches data in memory; what is not in the table halts the CPU with a message.

import { type EncodingRow, encodingByName, extractField, FIELDS, findEncoding, RC_BIT } from "../isa/encodings.ts";
import { MSR_IR, MSR_LE, MSR_SF_HI, SPR_CTR, SPR_LR } from "./bits.ts";
import type { Clock } from "./clock.ts";
import { Step } from "./layout.ts";
import type { RealMemory } from "./real-memory.ts";
import type { CpuState } from "./state.ts";
import type { SystemInstructions } from "./system.ts";

const LK = 1;
const AA = 2;
/** BO bits: ignore the condition, its wanted value, ignore CTR, its wanted zero-ness. */
const BO_ANY_CONDITION = 16;
const BO_CONDITION_TRUE = 8;
const BO_KEEP_CTR = 4;
const BO_CTR_ZERO = 2;
/** Instructions for one call, so that events are looked at now and then. */
const BATCH = 256;
const MASK64 = 0xffffffffffffffffn;

type Action = (word: number) => void;

function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

export class ForeignMode {
  private readonly state: CpuState;
  private readonly clock: Clock;
  private readonly real: RealMemory;
  private readonly system: SystemInstructions;
  private readonly halt: (message: string) => number;
  private readonly actions = new Map<EncodingRow, Action>();
  private readonly systemRows: ReadonlySet<EncodingRow>;

  constructor(options: {
    state: CpuState;
    clock: Clock;
    real: RealMemory;
    system: SystemInstructions;
    halt: (message: string) => number;
  }) {
    this.state = options.state;
    this.clock = options.clock;
    this.real = options.real;
    this.system = options.system;
    this.halt = options.halt;
    this.fillActions();
    this.systemRows = new Set("sc rfid mtmsrd mtmsr mfspr mtspr".split(" ").map((name) => encodingByName(name)!));
  }

  /** Executes until the mode is one that the interpreter has. Returns a Step value. */
  run(): number {
    const { state } = this;
    for (let n = 0; n < BATCH && !state.modelled; n++) {
      if ((state.msrLo & MSR_IR) !== 0) return this.halt("Big-endian or 32-bit code with relocation on");
      const wide = (state.msrHi & MSR_SF_HI) !== 0;
      const host = this.real.hostOf(state.pcLo, wide ? state.pcHi & 0x0fffffff : 0, false);
      if (host === 0) return this.halt("Instruction fetch outside of RAM");
      const stored = state.u32[host >> 2]!;
      const word = (state.msrLo & MSR_LE) !== 0 ? stored : swapped(stored);
      const row = findEncoding(word);
      // Record forms would look at 32 bits only.
      const action = row === undefined || (row.rc && word & RC_BIT) ? undefined : this.actions.get(row);
      if (action !== undefined) action(word);
      else if (row !== undefined && this.systemRows.has(row) && this.plain(row, word)) {
        const step = this.system.executeWord(word);
        if (step === Step.exit) return step;
      } else {
        return this.halt(`Instruction 0x${word.toString(16)} in big-endian or 32-bit mode, which is not modelled,`);
      }
    }
    return Step.resync;
  }

  /** LR and CTR have no code on the TypeScript side, being plain storage for the interpreter. */
  private plain(row: EncodingRow, word: number): boolean {
    if (row.name !== "mfspr" && row.name !== "mtspr") return true;
    const n = ((word >>> 16) & 31) | ((word >>> 6) & 0x3e0);
    return n >= SPR_LR;
  }

  private fillActions(): void {
    const { state } = this;
    const on = (names: string, action: Action): void => {
      for (const name of names.split(" ")) this.actions.set(encodingByName(name)!, action);
    };
    const straight =
      (action: Action): Action =>
      (word) => {
        action(word);
        this.advance();
      };
    const gpr = (word: number, shift: number): bigint => state.gpr64[(word >>> shift) & 31]!;
    const set = (word: number, shift: number, value: bigint): void => {
      state.gpr64[(word >>> shift) & 31] = BigInt.asUintN(64, value);
    };
    const addImmediate = (scale: bigint) =>
      straight((word) => {
        const base = ((word >>> 16) & 31) === 0 ? 0n : gpr(word, 16);
        set(word, 21, base + BigInt(extractField(word, FIELDS.SI)) * scale);
      });
    on("addi", addImmediate(1n));
    on("addis", addImmediate(0x10000n));
    on(
      "ori",
      straight((word) => set(word, 16, gpr(word, 21) | BigInt(word & 0xffff))),
    );
    on(
      "oris",
      straight((word) => set(word, 16, gpr(word, 21) | BigInt((word & 0xffff) * 0x10000))),
    );
    on(
      "xori",
      straight((word) => set(word, 16, gpr(word, 21) ^ BigInt(word & 0xffff))),
    );
    on(
      "or",
      straight((word) => set(word, 16, gpr(word, 21) | gpr(word, 11))),
    );
    on(
      "rldicr",
      straight((word) => set(word, 16, rotateClearRight(gpr(word, 21), word))),
    );
    on(
      "mfmsr",
      straight((word) => state.setGpr((word >>> 21) & 31, state.msrLo, state.msrHi)),
    );
    on(
      "sync isync",
      straight(() => {}),
    );
    on("b", (word) => this.branch(extractField(word, FIELDS.LI), word));
    on("bc", (word) => this.conditional(word, () => this.branch(extractField(word, FIELDS.BD), word)));
    on("bclr", (word) => this.conditional(word, () => this.toRegister(SPR_LR, word)));
    on("bcctr", (word) => this.conditional(word, () => this.toRegister(SPR_CTR, word)));
    // Traps that never trap: one half of every endian trampoline.
    for (const name of ["tdi", "twi"]) {
      const row = encodingByName(name)!;
      this.actions.set(row, (word) => {
        if (((word >>> 21) & 31) === 0) this.advance();
        else this.system.executeWord(word);
      });
    }
  }

  private advance(): void {
    this.go(this.state.pcLo + 4, this.state.pcHi);
  }

  /** Addresses have 32 bits in 32-bit mode. */
  private go(lo: number, hi: number): void {
    const carry = lo > 0xffffffff ? 1 : lo < 0 ? -1 : 0;
    const wide = (this.state.msrHi & MSR_SF_HI) !== 0;
    this.state.setPc(lo >>> 0, wide ? (hi + carry) >>> 0 : 0);
    this.clock.count();
  }

  private link(word: number): void {
    if ((word & LK) === 0) return;
    const { state } = this;
    const next = state.pcLo + 4;
    state.setSpr(SPR_LR, next >>> 0, next > 0xffffffff ? state.pcHi + 1 : state.pcHi);
  }

  private branch(distance: number, word: number): void {
    const { pcLo, pcHi } = this.state;
    this.link(word);
    if ((word & AA) !== 0) this.go(distance, 0);
    else this.go(pcLo + distance, pcHi);
  }

  private toRegister(spr: number, word: number): void {
    const { state } = this;
    const [lo, hi] = [state.sprLo(spr) & ~3, state.sprHi(spr)];
    this.link(word);
    this.go(lo >>> 0, hi);
  }

  private conditional(word: number, taken: () => void): void {
    const { state } = this;
    const bo = (word >>> 21) & 31;
    let go = true;
    if ((bo & BO_KEEP_CTR) === 0) {
      const ctr = ((BigInt(state.sprHi(SPR_CTR)) << 32n) | BigInt(state.sprLo(SPR_CTR))) - 1n;
      state.setSpr(SPR_CTR, Number(ctr & 0xffffffffn), Number((ctr >> 32n) & 0xffffffffn));
      const wide = (state.msrHi & MSR_SF_HI) !== 0;
      const zero = (ctr & (wide ? MASK64 : 0xffffffffn)) === 0n;
      go = zero === ((bo & BO_CTR_ZERO) !== 0);
    }
    if ((bo & BO_ANY_CONDITION) === 0) {
      const bit = (state.cr >>> (31 - ((word >>> 16) & 31))) & 1;
      go &&= (bit === 1) === ((bo & BO_CONDITION_TRUE) !== 0);
    }
    if (go) taken();
    else this.advance();
  }
}

/** rldicr: rotate left, keep bits 0 to ME. */
function rotateClearRight(value: bigint, word: number): bigint {
  const shift = BigInt(extractField(word, FIELDS.SH6));
  const end = BigInt(extractField(word, FIELDS.ME6));
  const rotated = ((value << shift) | (value >> (64n - shift))) & MASK64;
  return rotated & (MASK64 << (63n - end));
}
