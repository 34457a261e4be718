// The threads of one machine pc and what they share: the machine's own, which runs the first CPU, and one for each further
// CPU. Messages of the machine's thread wait until somebody listens.
// Invariant: a thread that dies of an error says so in a message, as one that was refused something.
import { Worker } from "node:worker_threads";
import { allocateRam, type SharedRam } from "../../machines/pc/shared-ram.ts";
import type { ResolvedPcConfig } from "../../pc-config.ts";
import { packError } from "./error-transport.ts";
import type { CpuThreadData, FromMachine, MachineThreadData, ToMachine } from "./messages.ts";
import { SharedState } from "./shared-state.ts";

export class PcThreads {
  readonly shared: SharedState;
  readonly ram: SharedRam;
  /** All threads have ended. */
  readonly ended: Promise<unknown>;
  private readonly machine: Worker;
  private readonly waiting: FromMachine[] = [];
  private hear: (message: FromMachine) => void = (message) => this.waiting.push(message);

  /** Starts them. `origin` as in MachineThreadData. Throws VmmError USAGE_MEMORY_TOO_LARGE. */
  constructor({ cpus, memoryBytes, platform, coherency: check }: ResolvedPcConfig, origin: number) {
    this.shared = new SharedState(cpus);
    this.ram = allocateRam(memoryBytes);
    const { buffer } = this.shared;
    const coherency = check !== undefined;
    this.machine = startThread("machine-thread", { shared: buffer, ram: this.ram, cpus, platform, origin, coherency });
    this.machine.on("message", (message: FromMachine) => this.hear(message));
    const others = Array.from({ length: cpus - 1 }, (_, index) => {
      return startThread("cpu-thread", { shared: buffer, cpu: index + 1 });
    });
    const threads = [this.machine, ...others];
    for (const thread of threads) {
      thread.on("error", (error) => this.hear({ type: "failed", error: packError(error) }));
    }
    this.ended = Promise.all(threads.map((thread) => new Promise((resolve) => thread.on("exit", resolve))));
  }

  /** What has been said already comes first. */
  listen(hear: (message: FromMachine) => void): void {
    this.hear = hear;
    for (const message of this.waiting.splice(0)) hear(message);
  }

  send(message: ToMachine): void {
    this.machine.postMessage(message);
  }

  /** Tells all of them to end; one that is in the guest has to be got out of there. */
  close(): void {
    this.shared.stop();
    this.send({ type: "close" });
  }
}

/** Threads run built code: they take neither the loader nor the conditions of the main thread. */
function startThread(name: "machine-thread" | "cpu-thread", data: MachineThreadData | CpuThreadData): Worker {
  const here = import.meta.url;
  const built = here.endsWith(".ts") ? new URL("../../../dist/accel/x86/", here) : new URL("./", here);
  return new Worker(new URL(`${name}.js`, built), { workerData: data, execArgv: [] });
}
