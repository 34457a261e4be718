// What a VM asks of whatever executes its guest: guest RAM, a CPU for the machine to talk to, and running. The machine
// (devices, hypercalls, RTAS) is the same behind every accelerator.
import type { GuestMemory } from "@minivmm/host";
import type { PseriesCpu, PseriesMachine } from "../machines/pseries/machine.ts";
import type { TceAcceleration } from "../machines/pseries/tce-acceleration.ts";

export type RunEnd =
  | { readonly reason: "power-off" | "reset" | "stopped" }
  | { readonly reason: "halt"; readonly message: string };

/** What running needs of the machine. */
export type AccelMachine = Pick<
  PseriesMachine,
  "hcalls" | "rtas" | "stopRequest" | "mmioRead" | "mmioWrite" | "mmioBurst"
>;

/** Hypercalls that never reached user space, by number and by the stage that answered them. */
export interface KernelHypercalls {
  readonly realMode: ReadonlyMap<number, number>;
  readonly virtualMode: ReadonlyMap<number, number>;
}

/** For a checker: where the guest is, and what its CPU keeps of translations. */
export interface CpuInspection {
  /** Address of the instruction that the guest executes, or of the next one. */
  pc(): bigint;
  /** Token of the hypercall that is being answered, -1 while none is. */
  hypercall(): number;
  /** Instructions completed; the same throughout a hypercall. */
  retired(): number;
  forgetTranslations(): void;
}

export interface Accelerator {
  readonly name: "soft" | "kvm";
  readonly ram: GuestMemory;
  readonly cpu: PseriesCpu;
  /** Times that the guest was left for, by reason. */
  readonly exits: Readonly<Record<string, number>>;
  readonly idleMs: number;
  /** Instructions that the guest has completed. */
  readonly instructions: number;
  /** Counters of whatever executes the guest. */
  counters(): Readonly<Record<string, unknown>>;
  /** Absent where the CPU is the kernel's. */
  readonly inspection?: CpuInspection;
  /** TCE tables in the kernel; absent where there is none between the guest and this program. */
  readonly tce?: TceAcceleration;
  /** Absent where there is no kernel between the guest and this program. */
  kernelHypercalls?(): KernelHypercalls;
  /** Milliseconds since 1970 for the guest. */
  timeOfDay(): number;
  /** Where the guest begins, and its first argument (r3); r5 is 0: no Open Firmware. */
  enter(entry: number, argument: number): void;
  /** Runs until the guest ends, the CPU cannot go on, or stop(). `onPause` is called between slices and when idle. */
  run(machine: AccelMachine, onPause: () => void): Promise<RunEnd>;
  stop(): void;
  close(): void;
}

/** Lets the event loop do what is ready. */
export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
