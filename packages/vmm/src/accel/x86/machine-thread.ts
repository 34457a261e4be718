// The thread of a machine: runs the first CPU, and owns everything that the guest can reach besides RAM.
// Entry of a worker thread. Messages of the main thread and letters of the other CPUs are looked at whenever the guest was
// left because somebody asked for it (kick); an access of the guest is answered without that.
// Invariants: the thread ends with everything given back, whether it ran, was refused, or was told to close; it answers
// every letter until then.
import { parentPort, workerData } from "node:worker_threads";
import { EINTR, type Host, realHost } from "@minivmm/host";
import { KVM_EXIT_IO, KVM_EXIT_MMIO, type KvmVcpu } from "@minivmm/kvm";
import type { CoherencyLog } from "../../coherency/report.ts";
import { PcRam } from "../../machines/pc/ram.ts";
import type { WatchDescriptor } from "../../pci/host-requests.ts";
import { type PcSummary, Timeline } from "../../summary.ts";
import { eventLoopTurn, type RunEnd } from "../accelerator.ts";
import { BareBox } from "./bare-box.ts";
import { runCpu } from "./cpu-loop.ts";
import { packError } from "./error-transport.ts";
import { Letters } from "./letters.ts";
import type { FromMachine, MachineThreadData, ToMachine } from "./messages.ts";
import type { PcPlatform, PlatformModule } from "./platform.ts";
import { endDetail, runEnd } from "./run-end.ts";
import { SharedState } from "./shared-state.ts";
import { ThreadTimers } from "./timers.ts";

/** Output that is no whole line is shown after so long. */
const FLUSH_MS = 10;
/** A guest that writes one register after another is through with it by then. */
const LATER_MS = 20;

type Port = NonNullable<typeof parentPort>;

const port = parentPort as Port;
const data = workerData as MachineThreadData;
const shared = new SharedState(data.shared);
const tell = (message: FromMachine): void => port.postMessage(message);

const clock = new ThreadTimers((ms) => tell({ type: "wake", ms }));

const later = (run: () => void): void => {
  clock.after(LATER_MS, run);
};

class MachineThread {
  private readonly timeline = new Timeline(() => 0, { origin: data.origin });
  private readonly watches = new Map<number, () => void>();
  private readonly exits = { ports: 0, memory: 0, interrupted: 0 };
  private nextWatch = 0;
  private deliver: (bytes: Uint8Array) => void = () => {};
  private box: BareBox | undefined;
  private log: CoherencyLog | undefined;
  private started = 0;
  private runMs = 0;

  /** What the main thread says besides `boot`, `run` and `close`. */
  receive(message: ToMachine): void {
    if (message.type === "input") this.deliver(message.bytes);
    if (message.type === "readable") this.watches.get(message.watch)?.();
    if (message.type === "attributes") this.tellAttributes();
  }

  mark(name: string): void {
    this.timeline.mark(name);
  }

  async makeBox(platform: PcPlatform): Promise<BareBox> {
    this.box = await this.boxFor(platform);
    return this.box;
  }

  private async startLog(): Promise<void> {
    const { CoherencyLog } = await import("../../coherency/report.ts");
    this.log = new CoherencyLog((report) => tell({ type: "coherency", report }));
  }

  /** A guest without devices does not wait for passthrough and its protocols to be loaded. */
  private async boxFor({ host, devices, observeDma }: PcPlatform): Promise<BareBox> {
    const options = {
      kvmHost: host.threads === undefined ? realHost() : host,
      ram: new PcRam(data.ram),
      cpus: data.cpus,
      timeline: this.timeline,
      console: {
        write: (bytes: Uint8Array) => {
          tell({ type: "output", bytes });
          shared.sendOutput(bytes.length);
        },
        onInput: (deliver: (bytes: Uint8Array) => void) => {
          this.deliver = deliver;
        },
      },
    };
    if (data.coherency) await this.startLog();
    if (devices.length === 0) return new BareBox(options);
    const { PcBox } = await import("./box.ts");
    const check = this.log && { log: this.log, observeDma };
    return new PcBox({ ...options, deviceHost: host, devices, watch: this.watcher(host), later, check });
  }

  /** `pause`: models of devices finish what was asked of them at a turn of the event loop, so there has to be one. */
  async run(box: BareBox, pause: boolean): Promise<RunEnd> {
    const { machine, kvm, console } = box;
    const vcpu = kvm.vcpus[0] as KvmVcpu;
    const letters = new Letters(shared, machine);
    const lookUp = (): void => {
      vcpu.immediateExit = true;
    };
    machine.onStopRequest = lookUp;
    // A prompt has no end of line, and the guest may sleep from then on.
    let flushing = false;
    console.onGathering = () => {
      if (flushing) return;
      flushing = true;
      clock.after(FLUSH_MS, () => {
        flushing = false;
        console.flush();
      });
    };
    this.started = performance.now();
    this.timeline.mark("guest entered");
    for (;;) {
      const reason = shared.stopping ? -EINTR : runCpu(vcpu, machine, this.exits, pause);
      if (reason === -EINTR) vcpu.immediateExit = false;
      const end = this.endOf(box, letters, vcpu, reason);
      if (end !== undefined) {
        this.runMs = performance.now() - this.started;
        this.timeline.mark("run ended");
        return end;
      }
      if (reason === -EINTR) await eventLoopTurn();
      else await null;
      clock.look(reason === -EINTR);
    }
  }

  summary(box: BareBox): PcSummary {
    const { machine, devices, console } = box;
    const { delivered, ports, bridge, combined } = machine;
    const kvmDma = devices.kvmDma();
    return {
      machine: "pc",
      accelerator: "kvm",
      cpus: data.cpus,
      timeline: [...this.timeline.marks],
      runMs: this.started === 0 ? 0 : this.runMs || performance.now() - this.started,
      domains: devices.domainSummaries(),
      ...(kvmDma === undefined ? {} : { kvmDma }),
      devices: devices.deviceSummaries(),
      interrupts: { ...delivered, lost: box.lostInterrupts },
      exits: { ...this.exits },
      ...this.log?.summary(),
      ...(combined === undefined ? {} : { combined: { ...combined.counters } }),
      unclaimed: { ports: ports.unclaimed, memory: machine.strayAccesses + bridge.unclaimed },
      problems: [...box.problems, ...devices.problems],
      console: {
        outputBytes: console.outputBytes,
        inputBytes: console.inputBytes,
        inputDropped: console.inputDropped,
      },
    };
  }

  /** The guest must not end for it. */
  private tellAttributes(): void {
    try {
      if (this.box === undefined) throw new Error("there is no machine yet");
      tell({ type: "attributes", attributes: this.box.attributes() });
    } catch (error) {
      tell({ type: "noAttributes", error: packError(error) });
    }
  }

  private endOf(box: BareBox, letters: Letters, vcpu: KvmVcpu, reason: number): RunEnd | undefined {
    if (shared.stopping) return { reason: "stopped" };
    const { machine } = box;
    const theirs = letters.answerAll();
    if (machine.stopRequest !== undefined) return { reason: machine.stopRequest };
    if (box.failure !== undefined) return { reason: "halt", message: box.failure };
    if (theirs !== undefined) return theirs;
    if (reason === -EINTR || reason === KVM_EXIT_IO || reason === KVM_EXIT_MMIO) return undefined;
    return runEnd(0, reason, endDetail(vcpu, reason), vcpu.getRegs().rip);
  }

  /** On a real host the main thread watches, whose event loop turns while this one is in the guest. */
  private watcher(host: Host): WatchDescriptor {
    if (host.threads === undefined) return (fd, onReadable) => host.watch(fd, onReadable);
    return (fd, onReadable) => {
      const watch = this.nextWatch++;
      this.watches.set(watch, onReadable);
      tell({ type: "watch", watch, fd });
      return {
        close: () => {
          this.watches.delete(watch);
          tell({ type: "unwatch", watch });
        },
      };
    };
  }
}

/** The next message of a type; others are left to `receive`. Undefined when the VM was closed instead. */
function next<T extends ToMachine["type"]>(type: T): Promise<Extract<ToMachine, { type: T }> | undefined> {
  return new Promise((resolve) => {
    const listen = (message: ToMachine): void => {
      if (message.type !== type && message.type !== "close") return;
      port.off("message", listen);
      resolve(message.type === type ? (message as Extract<ToMachine, { type: T }>) : undefined);
    };
    port.on("message", listen);
  });
}

function hasModels({ host, devices }: PcPlatform): boolean {
  return host.threads === undefined || devices.some(({ driver }) => driver === "emulated");
}

async function main(): Promise<void> {
  let platform: PcPlatform | undefined;
  let box: BareBox | undefined;
  const thread = new MachineThread();
  port.on("message", (message: ToMachine) => thread.receive(message));
  try {
    const booting = next("boot");
    thread.mark("thread started");
    const module = (await import(data.platform.module)) as PlatformModule;
    platform = await module.openPlatform(data.platform.data, clock);
    thread.mark("host opened");
    box = await thread.makeBox(platform);
    const message = await booting;
    if (message === undefined) return;
    box.start(message.boot);
    if (hasModels(platform)) (await import("./combining.ts")).combineWrites(box, new PcRam(data.ram), clock);
    const { vcpus, host, system } = box.kvm;
    shared.runPageBytes = system.vcpuMmapSize();
    shared.setThread(0, host.threads?.current() ?? 0);
    for (const [cpu, { fd }] of vcpus.entries()) shared.setDescriptor(cpu, fd);
    const running = next("run");
    tell({ type: "ready" });
    if ((await running) === undefined) return;
    const end = await thread.run(box, hasModels(platform));
    box.console.flush();
    tell({ type: "summary", summary: thread.summary(box) });
    tell({ type: "ended", end });
  } catch (error) {
    tell({ type: "failed", error: packError(error) });
  } finally {
    shared.stop();
    for (const [cpu, vcpu] of (box?.kvm.vcpus ?? []).entries()) {
      vcpu.immediateExit = true;
      if (cpu > 0) box?.kvm.host.threads?.interrupt(shared.thread(cpu));
    }
    shared.awaitAllLeft();
    box?.close();
    platform?.close();
    port.close();
  }
}

await main();
