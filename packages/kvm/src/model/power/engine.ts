// The seam to the CPU: what a modelled vCPU needs of whatever executes the guest's instructions. KVM owns no CPU; who
// composes a host hands in a factory. Numbers are the guest's own; 64-bit registers are BigInt for set-up and debugging,
// and halves in `gpr32` wherever something happens often.

import type { ModelProcess } from "@minivmm/host/model";
import type { CompiledCalls } from "../real-mode.ts";
import type { MemorySlots } from "../slots.ts";

/** Why run() came back. */
export const EngineExit = { budget: 0, hypercall: 1, device: 2, halt: 4 } as const;

/** A device access, or a reason to halt; one object, reused. Values are in memory order, low half first. */
export interface EngineRequest {
  readonly gpa: number;
  readonly size: number;
  readonly write: boolean;
  readonly lo: number;
  readonly hi: number;
  readonly message: string;
}

/** One hardware thread of a radix guest. */
export interface PowerCpu {
  /** Register n is gpr64[n], its halves gpr32[2n] (low) and gpr32[2n + 1]. */
  readonly gpr32: Uint32Array;
  readonly gpr64: BigUint64Array;
  pc: bigint;
  msr: bigint;
  lr: bigint;
  ctr: bigint;
  cr: number;
  xer: number;
  spr(n: number): bigint;
  setSpr(n: number, value: bigint): void;

  /** Runs for about so many instructions or until something happens: an EngineExit. */
  run(instructions: number): number;
  readonly exit: EngineRequest;
  /** The value of a device access; finishMmio() then carries out the one instruction that made it. */
  completeMmio(lo: number, hi: number): void;
  finishMmio(): void;
  /** Asked about each hypercall before run() is left: true when it is answered and the guest goes on. */
  hypercallInside: (() => boolean) | undefined;
  /** Compiled code is asked before that; absent on a CPU that cannot. */
  readonly compiled?: CompiledCalls;

  /** `once`: the line falls when the interrupt is taken. */
  setExternalInterrupt(level: boolean, once?: boolean): void;
  readonly externalInterrupt: boolean;
  /** An external or decrementer interrupt is pending, whatever MSR[EE] says. */
  interruptDeliverable(): boolean;
  setMsrEE(): void;

  /** Instructions completed. */
  readonly retired: number;
  timebase(): number;
  advanceTimebase(ticks: number): void;
  ticksToDecrementer(): number;

  setProcessTable(base: number, sizeLog2: number): void;
  setAil(on: boolean): void;
  flushTlb(): void;
  /** Memory that the engine keeps copies of is written back and forgotten. */
  syncPages(): void;
}

export interface PowerEngine {
  readonly cpu: PowerCpu;
  /** The memory slots have changed. */
  memoryChanged(): void;
  release(): void;
}

/** The guest's memory: slots of addresses in a process. */
export interface EngineMemory {
  readonly slots: MemorySlots;
  readonly process: ModelProcess;
}

export type PowerEngineFactory = (memory: EngineMemory) => PowerEngine;
