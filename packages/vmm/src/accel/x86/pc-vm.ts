// Machine pc as its user has it, in the main thread: loads the kernel, carries console bytes, keeps the clock for the other
// threads, and can stop everything at any time.
// Invariants: a guest never keeps this thread waiting; run() comes back when all threads have ended and everything was
// given back to the host.
import { type Host, realHost, type Watch } from "@minivmm/host";
import { RunPageAlias } from "@minivmm/kvm/run-page-alias";
import { parseX86Kernel } from "../../boot/x86/kernel.ts";
import { loadX86Guest } from "../../boot/x86/load.ts";
import { readKernel } from "../../config/common.ts";
import { VmmError } from "../../errors.ts";
import { RESERVED, RSDP_ADDRESS } from "../../machines/pc/memory-map.ts";
import { PcRam } from "../../machines/pc/ram.ts";
import type { ResolvedPcConfig } from "../../pc-config.ts";
import type { MachineAttributes, RunningAttributes } from "../../running-attributes.ts";
import type { PcSummary, Timeline } from "../../summary.ts";
import type { Vm, VmExit } from "../../vm.ts";
import type { RunEnd } from "../accelerator.ts";
import { unpackError } from "./error-transport.ts";
import type { FromMachine, ToMachine } from "./messages.ts";
import type { PcThreads } from "./pc-threads.ts";
import type { SharedState } from "./shared-state.ts";

export class PcVm implements Vm<PcSummary> {
  readonly ready: Promise<void>;
  private readonly config: ResolvedPcConfig;
  private readonly threads: PcThreads;
  private readonly shared: SharedState;
  private readonly timeline: Timeline;
  private readonly host: Host = realHost();
  private readonly watches = new Map<number, Watch>();
  private readonly aliases: RunPageAlias[] = [];
  /** The next moment at which the machine's thread wants to be woken. */
  private wakeUp: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;
  private settleReady: { resolve(): void; reject(error: Error): void } | undefined;
  private settleRun: { resolve(end: RunEnd): void; reject(error: Error): void } | undefined;
  /** Who waits for the machine's thread to tell of the guest's pages, in order. */
  private readonly asking: { resolve(told: MachineAttributes): void; reject(error: Error): void }[] = [];
  private failure: Error | undefined;
  private last: PcSummary;
  private state: "ready" | "running" | "ended" | "closed" = "ready";

  constructor(config: ResolvedPcConfig, threads: PcThreads, timeline: Timeline) {
    this.config = config;
    this.threads = threads;
    this.shared = threads.shared;
    this.timeline = timeline;
    this.last = emptySummary(config.cpus);
    this.ready = new Promise((resolve, reject) => {
      this.settleReady = { resolve, reject };
    });
    this.ready.catch(() => undefined);
    threads.listen((message) => this.receive(message));
    config.console.onInput?.((bytes) => {
      this.send({ type: "input", bytes });
      this.kick(0);
    });
  }

  /** Meanwhile the other threads start and the machine takes its devices. */
  async load(): Promise<void> {
    const { append } = this.config;
    const { kernel, kernelName } = readKernel(this.config.kernel);
    const initrd = await this.config.initrd;
    const ram = new PcRam(this.threads.ram);
    const boot = loadX86Guest({
      ram: ram.low,
      highRamBytes: ram.highBytes,
      kernel: parseX86Kernel(kernel, kernelName),
      kernelName,
      initrd: initrd ?? null,
      append,
      rsdpAddress: RSDP_ADDRESS,
      reserved: RESERVED,
    });
    this.timeline.mark("kernel loaded");
    this.send({ type: "boot", boot });
  }

  async run(): Promise<VmExit> {
    if (this.state !== "ready") {
      throw new VmmError(`this VM cannot run: it is ${this.state}`, {
        code: "VM_STATE",
        details: { state: this.state },
        hint: "make a new one with createPcVm()",
      });
    }
    this.state = "running";
    const end = new Promise<RunEnd>((resolve, reject) => {
      this.settleRun = { resolve, reject };
    });
    this.send({ type: "run" });
    try {
      const { reason, ...rest } = await end;
      await this.threads.ended;
      return { status: reason === "halt" ? 1 : 0, reason, ...rest };
    } finally {
      this.state = "ended";
      this.cleanUp();
    }
  }

  mark(name: string): void {
    this.timeline.mark(name);
  }

  stop(): void {
    this.shared.stop();
    for (let cpu = 0; cpu < this.shared.cpus; cpu++) this.kick(cpu);
  }

  summary(): PcSummary {
    const marks = [...this.last.timeline, ...this.timeline.marks].sort((a, b) => a.ms - b.ms);
    return { ...this.last, timeline: marks };
  }

  async attributes(): Promise<RunningAttributes> {
    if (this.failure !== undefined) throw this.failure;
    if (this.state === "ended" || this.state === "closed") throw nothingToTell(this.state);
    const told = new Promise<MachineAttributes>((resolve, reject) => {
      this.asking.push({ resolve, reject });
    });
    this.send({ type: "attributes" });
    this.kick(0);
    const [attributes, facts] = await Promise.all([told, import("../../attributes/host-facts.ts")]);
    return { ...attributes, cpu: { vendor: facts.cpuVendor(this.host), kernel: facts.kernelRelease(this.host) } };
  }

  close(): void {
    if (this.state === "closed") return;
    this.threads.close();
    this.stop();
    this.state = "closed";
    this.cleanUp();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private receive(message: FromMachine): void {
    switch (message.type) {
      case "ready":
        this.reachCpus();
        this.settleReady?.resolve();
        break;
      case "failed":
        this.fail(unpackError(message.error));
        break;
      case "output":
        this.config.console.write(message.bytes);
        this.shared.outputShown(message.bytes.length);
        break;
      case "watch":
        this.watch(message.watch, message.fd);
        break;
      case "unwatch":
        this.watches.get(message.watch)?.close();
        this.watches.delete(message.watch);
        break;
      case "wake":
        this.wakeLater(message.ms);
        break;
      case "attributes":
        this.asking.shift()?.resolve(message.attributes);
        break;
      case "noAttributes":
        this.asking.shift()?.reject(unpackError(message.error));
        break;
      case "coherency":
        this.config.coherency?.report?.(message.report);
        break;
      case "summary":
        this.last = message.summary;
        break;
      case "ended":
        this.settleRun?.resolve(message.end);
        break;
    }
  }

  private watch(watch: number, fd: number): void {
    const seen = (): void => {
      this.send({ type: "readable", watch });
      this.kick(0);
    };
    this.watches.set(watch, this.host.watch(fd, seen));
  }

  private wakeLater(ms: number): void {
    const at = performance.now() + ms;
    if (this.wakeUp !== undefined && this.wakeUp.at <= at) return;
    clearTimeout(this.wakeUp?.timer);
    const timer = setTimeout(() => {
      this.wakeUp = undefined;
      this.kick(0);
    }, ms);
    this.wakeUp = { at, timer };
  }

  /** While the machine waits to be run its descriptors are there for certain. */
  private reachCpus(): void {
    for (let cpu = 0; cpu < this.shared.cpus; cpu++) {
      this.aliases.push(new RunPageAlias(this.host, this.shared.descriptor(cpu)));
    }
  }

  /** Gets a CPU's thread out of the guest. Its run page says so to a thread that is only on its way there. */
  private kick(cpu: number): void {
    const alias = this.aliases[cpu];
    if (alias === undefined) return;
    alias.immediateExit = true;
    const thread = this.shared.thread(cpu);
    if (thread !== 0) this.host.threads?.interrupt(thread);
  }

  private fail(error: Error): void {
    this.failure = error;
    this.stop();
    this.refuse(error);
    this.settleReady?.reject(error);
    void this.threads.ended.then(() => this.settleRun?.reject(error));
  }

  private send(message: ToMachine): void {
    this.threads.send(message);
  }

  private cleanUp(): void {
    clearTimeout(this.wakeUp?.timer);
    for (const watch of this.watches.values()) watch.close();
    for (const alias of this.aliases) alias.close();
    this.watches.clear();
    this.aliases.length = 0;
    this.refuse(nothingToTell(this.state));
  }

  private refuse(error: Error): void {
    for (const { reject } of this.asking.splice(0)) reject(error);
  }
}

function nothingToTell(state: string): VmmError {
  return new VmmError(`this VM has nothing to tell of its pages: it is ${state}`, {
    code: "VM_STATE",
    details: { state },
    hint: "ask before run() or while it runs",
  });
}

function emptySummary(cpus: number): PcSummary {
  return {
    machine: "pc",
    accelerator: "kvm",
    cpus,
    timeline: [],
    runMs: 0,
    domains: [],
    devices: [],
    interrupts: {},
    exits: {},
    unclaimed: { ports: 0, memory: 0 },
    problems: [],
    console: { outputBytes: 0, inputBytes: 0, inputDropped: 0 },
  };
}
