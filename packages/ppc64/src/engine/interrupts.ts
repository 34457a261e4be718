// Interrupt entry: SRR0/SRR1, the new MSR and the vector, with relocation on when AIL says so. Little-endian interrupts,
// no hypervisor state. Source: Power ISA 3.0B Book III 6.4 to 6.5; LPCR[AIL] = 3 is what H_SET_MODE asks for.

import {
  DSISR_STORE,
  MSR_DR,
  MSR_EE,
  MSR_IR,
  MSR_LE,
  MSR_ME,
  MSR_RI,
  MSR_SF_HI,
  SPR_CTR,
  SPR_DAR,
  SPR_DSISR,
  SPR_FSCR,
  SPR_LR,
  SPR_SRR0,
  SPR_SRR1,
  VECTOR_ALIGNMENT,
  VECTOR_DATA_SEGMENT,
  VECTOR_DATA_STORAGE,
  VECTOR_DECREMENTER,
  VECTOR_EXTERNAL,
  VECTOR_FACILITY_UNAVAILABLE,
  VECTOR_INSTRUCTION_SEGMENT,
  VECTOR_INSTRUCTION_STORAGE,
  VECTOR_MACHINE_CHECK,
  VECTOR_PROGRAM,
} from "./bits.ts";
import type { Clock } from "./clock.ts";
import { SEGMENT_FAULT } from "./radix.ts";
import type { CpuState } from "./state.ts";

/** MSR bits that SRR1 does not take from the MSR: they carry the cause. */
const SRR1_CAUSE_BITS = 0x783f0000;
const AIL_BASE_HI = 0xc0000000;
const AIL_BASE_LO = 0x4000;
const SCV_REAL = 0x17000;
const SCV_RELOCATED = 0x3000;

export class Interrupts {
  /** LPCR[AIL] = 3: interrupts from virtual mode enter the kernel at 0xC000000000004000 with relocation on. */
  relocated = false;
  externalLevel = false;
  /** The line falls by itself when its interrupt is taken. */
  externalOnce = false;
  /** Taken so far, by vector / 32. */
  readonly taken = new Uint32Array(512);
  private readonly state: CpuState;
  private readonly clock: Clock;

  constructor(state: CpuState, clock: Clock) {
    this.state = state;
    this.clock = clock;
  }

  get enabled(): boolean {
    return (this.state.msrLo & MSR_EE) !== 0;
  }

  get pending(): boolean {
    return this.externalLevel || this.clock.decrementerPending;
  }

  /** Take the most favoured asynchronous interrupt if there is one and EE is set. */
  deliverPending(): void {
    if (!this.enabled) return;
    if (this.externalLevel) {
      if (this.externalOnce) this.externalLevel = this.externalOnce = false;
      this.raise(VECTOR_EXTERNAL, 0);
    } else if (this.clock.decrementerPending) this.raise(VECTOR_DECREMENTER, 0);
  }

  /** Enter an interrupt with SRR0 = PC. `cause` are SRR1 bits. An interrupt counts as an instruction, so none can hang. */
  raise(vector: number, cause: number): void {
    const { state } = this;
    const { msrLo, msrHi } = state;
    this.taken[vector >>> 5]!++;
    this.clock.count();
    state.setSpr(SPR_SRR0, state.pcLo, state.pcHi);
    state.setSpr(SPR_SRR1, (msrLo & ~SRR1_CAUSE_BITS) | cause, msrHi);
    const stays = this.relocates(vector);
    state.setPc(stays ? AIL_BASE_LO + vector : vector, stays ? AIL_BASE_HI : 0);
    state.clearReservation();
    state.setMsr((msrLo & MSR_ME) | MSR_LE | (stays ? MSR_IR | MSR_DR : 0), MSR_SF_HI);
  }

  program(cause: number): void {
    this.raise(VECTOR_PROGRAM, cause);
  }

  /** A failed data translation. */
  data(eaLo: number, eaHi: number, cause: number, write: boolean): void {
    this.state.setSpr(SPR_DAR, eaLo, eaHi);
    if (cause === SEGMENT_FAULT) {
      this.raise(VECTOR_DATA_SEGMENT, 0);
      return;
    }
    this.state.setSpr(SPR_DSISR, cause | (write ? DSISR_STORE : 0), 0);
    this.raise(VECTOR_DATA_STORAGE, 0);
  }

  instruction(cause: number): void {
    if (cause === SEGMENT_FAULT) this.raise(VECTOR_INSTRUCTION_SEGMENT, 0);
    else this.raise(VECTOR_INSTRUCTION_STORAGE, cause);
  }

  alignment(eaLo: number, eaHi: number): void {
    this.state.setSpr(SPR_DAR, eaLo, eaHi);
    this.state.setSpr(SPR_DSISR, 0, 0);
    this.raise(VECTOR_ALIGNMENT, 0);
  }

  facility(number: number): void {
    const { state } = this;
    state.setSpr(SPR_FSCR, state.sprLo(SPR_FSCR), (state.sprHi(SPR_FSCR) & 0x00ffffff) | (number << 24));
    this.raise(VECTOR_FACILITY_UNAVAILABLE, 0);
  }

  /** scv: no SRRs; LR = next instruction, CTR = MSR, and EE and RI stay as they are. */
  systemCallVectored(level: number): void {
    const { state } = this;
    const { msrLo, msrHi, pcLo, pcHi } = state;
    this.taken[SCV_RELOCATED >>> 5]!++;
    this.clock.count();
    state.setSpr(SPR_LR, pcLo + 4, pcLo === 0xfffffffc ? pcHi + 1 : pcHi);
    state.setSpr(SPR_CTR, msrLo & ~SRR1_CAUSE_BITS, msrHi);
    const stays = this.relocates(SCV_RELOCATED);
    state.setPc((stays ? SCV_RELOCATED : SCV_REAL) + 0x20 * level, stays ? AIL_BASE_HI : 0);
    state.setMsr((msrLo & (MSR_ME | MSR_EE | MSR_RI)) | MSR_LE | (stays ? MSR_IR | MSR_DR : 0), MSR_SF_HI);
  }

  private relocates(vector: number): boolean {
    const on = MSR_IR | MSR_DR;
    return this.relocated && (this.state.msrLo & on) === on && vector > VECTOR_MACHINE_CHECK;
  }
}
