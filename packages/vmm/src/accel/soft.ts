// The software accelerator: runs the CPU engine in slices, brings its exits to the machine, and gives the event loop
// (console input, eventfds of passed-through devices, timers) a turn between slices.
// A burst is what the engine has combined of stores to a device; the machine takes it apart.
// Invariants: hypercalls and MMIO are answered without leaving the loop; an idle guest costs no host CPU time on the
// wall clock; after stop() at most one slice is executed.
import { type Cpu, ExitReason } from "@minivmm/ppc64";
import { type AccelMachine, eventLoopTurn, type RunEnd } from "./accelerator.ts";
import type { GuestClock } from "./guest-clock.ts";

/** What the run loop needs of the CPU engine. */
export type SoftCpu = Pick<
  Cpu,
  | "run"
  | "exit"
  | "retired"
  | "gpr32"
  | "gprHi"
  | "gprLo"
  | "setGpr"
  | "pc"
  | "lr"
  | "msr"
  | "completeMmio"
  | "setMsrEE"
  | "interruptDeliverable"
>;

export interface SoftAccelOptions {
  readonly cpu: SoftCpu;
  readonly machine: AccelMachine;
  readonly clock: GuestClock;
  /** Called whenever the guest pauses (end of a slice, idle), for output that was gathered. */
  readonly onPause: () => void;
}

/** Instructions between looks at the event loop: a few milliseconds. */
const SLICE = 1_000_000;
/** Longest sleep; a timer cannot be set further than 2^31 ms, and there is no harm in waking up. */
const SLEEP_MAX_MS = 60_000;
/** MSR of a return from RTAS: 64-bit, machine check and recoverable interrupt enabled, little-endian. */
const MSR_AFTER_RTAS = 0x8000000000001003n;
const R3 = 3;

export class SoftAccel {
  idleMs = 0;
  readonly exits = { hypercall: 0, mmio: 0, burst: 0, rtas: 0, slice: 0, idle: 0 };
  private readonly cpu: SoftCpu;
  private readonly machine: AccelMachine;
  private readonly clock: GuestClock;
  private readonly onPause: () => void;
  private readonly halves = new Uint32Array(2);
  private stopping = false;
  private ceded = false;
  private wakeSleeper: (() => void) | undefined;

  constructor({ cpu, machine, clock, onPause }: SoftAccelOptions) {
    this.cpu = cpu;
    this.machine = machine;
    this.clock = clock;
    this.onPause = onPause;
  }

  /** H_CEDE: the run loop goes idle after the hypercall. */
  cede(): void {
    this.cpu.setMsrEE();
    this.ceded = true;
  }

  /** An interrupt became pending or the VM shall stop. */
  wake(): void {
    this.wakeSleeper?.();
  }

  stop(): void {
    this.stopping = true;
    this.wake();
  }

  /** Runs until the guest ends, the CPU cannot go on, or stop(). */
  async run(): Promise<RunEnd> {
    const { cpu, machine, clock } = this;
    for (;;) {
      if (this.stopping) return this.end({ reason: "stopped" });
      clock.sync();
      const halt = this.slice(cpu, machine);
      if (halt !== undefined) return this.end({ reason: "halt", message: halt });
      if (machine.stopRequest !== undefined) return this.end({ reason: machine.stopRequest });
      this.onPause();
      if (this.ceded) await this.idle();
      else await eventLoopTurn();
    }
  }

  /** Executes up to a slice. Returns a message when the CPU halted. */
  private slice(cpu: SoftCpu, machine: AccelMachine): string | undefined {
    const end = cpu.retired + SLICE;
    for (;;) {
      const budget = end - cpu.retired;
      if (budget <= 0) break;
      switch (cpu.run(budget)) {
        case ExitReason.hcall:
          this.exits.hypercall++;
          machine.hcalls.dispatch(cpu.gpr32);
          if (this.ceded) {
            if (!cpu.interruptDeliverable()) return undefined;
            this.ceded = false;
          }
          break;
        case ExitReason.mmio:
          this.exits.mmio++;
          this.mmio(cpu, machine);
          break;
        case ExitReason.burst:
          this.exits.burst++;
          machine.mmioBurst(cpu.exit.gpa, cpu.exit.lo, cpu.exit.hi, cpu.exit.bytes);
          break;
        case ExitReason.trap:
          this.exits.rtas++;
          this.rtasCall(cpu, machine);
          if (machine.stopRequest !== undefined) return undefined;
          break;
        case ExitReason.halt:
          return cpu.exit.message;
        default:
          this.exits.slice++;
          return undefined;
      }
    }
    return undefined;
  }

  private mmio(cpu: SoftCpu, machine: AccelMachine): void {
    const { exit } = cpu;
    const size = exit.size as 1 | 2 | 4 | 8;
    if (exit.write) {
      machine.mmioWrite(exit.gpa, size, exit.lo, exit.hi);
      cpu.completeMmio(0, 0);
    } else {
      machine.mmioRead(exit.gpa, size, this.halves);
      cpu.completeMmio(this.halves[0]!, this.halves[1]!);
    }
  }

  private rtasCall(cpu: SoftCpu, machine: AccelMachine): void {
    const frame = cpu.gprHi(R3) < 0x20_0000 ? cpu.gprHi(R3) * 0x1_0000_0000 + cpu.gprLo(R3) : -1;
    const status = machine.rtas.dispatch(frame);
    cpu.setGpr(R3, status < 0 ? 0xffffffff : 0, status >>> 0);
    cpu.pc = cpu.lr;
    cpu.msr = MSR_AFTER_RTAS;
  }

  /** Waits until an interrupt can be delivered. */
  private async idle(): Promise<void> {
    this.exits.idle++;
    const since = performance.now();
    // Whatever is ready on the host (a disk that finished, a key) comes before the guest's timer.
    await eventLoopTurn();
    while (!this.stopping && !this.cpu.interruptDeliverable()) {
      const ms = this.clock.idle();
      if (this.cpu.interruptDeliverable()) break;
      if (ms < 1) await eventLoopTurn();
      else await this.sleep(Math.min(ms, SLEEP_MAX_MS));
    }
    this.ceded = false;
    this.idleMs += performance.now() - since;
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const self = this;
      function done(): void {
        clearTimeout(timer);
        self.wakeSleeper = undefined;
        resolve();
      }
      this.wakeSleeper = done;
    });
  }

  private end(end: RunEnd): RunEnd {
    this.onPause();
    return end;
  }
}
