// A CPU that plays a list of exits instead of executing instructions: what KVM makes of each is what the tests look at.
import { EngineExit, type EngineMemory, type PowerCpu, type PowerEngine } from "../../src/model/index.ts";

export const PVR = 0x004e1203n;
const MSR_EE = 0x8000n;

export class ScriptedCpu implements PowerCpu {
  readonly gpr64 = new BigUint64Array(32);
  readonly gpr32 = new Uint32Array(this.gpr64.buffer);
  pc = 0n;
  msr = 0n;
  lr = 0n;
  ctr = 0n;
  cr = 0;
  xer = 0;
  readonly exit = { gpa: 0, size: 4, write: false, lo: 0, hi: 0, message: "" };
  hypercallInside: (() => boolean) | undefined;
  externalInterrupt = false;
  once = false;
  retired = 0;
  time = 0;
  decrementer = 1000;
  table: [number, number] | null = null;
  ail = false;
  flushes = 0;
  syncs = 0;
  /** What run() does next; an empty list runs until the budget is used up. */
  script: (() => number)[] = [];
  readonly finished: [number, number][] = [];
  private answer: [number, number] | null = null;
  private readonly sprs = new Map<number, bigint>([[287, PVR]]);

  spr(n: number): bigint {
    return this.sprs.get(n) ?? 0n;
  }
  setSpr(n: number, value: bigint): void {
    if (n === 22) this.decrementer = Number(BigInt.asIntN(32, value));
    this.sprs.set(n, BigInt.asUintN(64, value));
  }
  run(instructions: number): number {
    const step = this.script.shift();
    this.retired += step ? 10 : instructions;
    return step ? step() : EngineExit.budget;
  }
  completeMmio(lo: number, hi: number): void {
    this.answer = [lo, hi];
  }
  finishMmio(): void {
    if (this.answer) this.finished.push(this.answer);
    this.answer = null;
    this.pc += 4n;
  }
  setExternalInterrupt(level: boolean, once = false): void {
    this.externalInterrupt = level;
    this.once = once;
  }
  interruptDeliverable(): boolean {
    return this.externalInterrupt || this.time >= this.decrementer;
  }
  setMsrEE(): void {
    this.msr |= MSR_EE;
  }
  timebase(): number {
    return this.time;
  }
  advanceTimebase(ticks: number): void {
    this.time += ticks;
  }
  ticksToDecrementer(): number {
    return Math.max(0, this.decrementer - this.time);
  }
  setProcessTable(base: number, sizeLog2: number): void {
    this.table = [base, sizeLog2];
  }
  setAil(on: boolean): void {
    this.ail = on;
  }
  flushTlb(): void {
    this.flushes++;
  }
  syncPages(): void {
    this.syncs++;
  }

  /** A hypercall with these registers from r3 on. */
  hypercall(...registers: (number | bigint)[]): void {
    this.script.push(() => {
      for (const [n, value] of registers.entries()) this.gpr64[3 + n] = BigInt.asUintN(64, BigInt(value));
      return EngineExit.hypercall;
    });
  }

  access(gpa: number, size: number, write: boolean, lo = 0, hi = 0): void {
    this.script.push(() => {
      Object.assign(this.exit, { gpa, size, write, lo, hi });
      return EngineExit.device;
    });
  }
}

export class ScriptedEngine implements PowerEngine {
  readonly cpu = new ScriptedCpu();
  readonly memory: EngineMemory;
  changes = 0;
  released = false;

  constructor(memory: EngineMemory) {
    this.memory = memory;
  }
  memoryChanged(): void {
    this.changes++;
  }
  release(): void {
    this.released = true;
  }
}
