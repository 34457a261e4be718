// createVm: from a configuration to a machine with a loaded kernel, ready to run. One Vm runs once: a reset of the
// guest ends the run, and the caller makes a new Vm.
import { GuestMemory, type Host } from "@minivmm/host";
import { Cpu, Ppc64Error } from "@minivmm/ppc64";
import { type GuestClock, instructionClock, wallClock } from "./accel/guest-clock.ts";
import { SoftAccel } from "./accel/soft.ts";
import { loadElf, parseElf, placeBootImages } from "./boot/index.ts";
import { type ResolvedConfig, resolveConfig, type VfioPciConfig, type VmConfig } from "./config.ts";
import { ConsolePort } from "./console.ts";
import { hex, VmmError } from "./errors.ts";
import { DmaWindows } from "./machines/pseries/ddw.ts";
import { type DeviceTreeRequest, pseriesFdt } from "./machines/pseries/device-tree.ts";
import type { TceListener } from "./machines/pseries/iommu.ts";
import { PseriesMachine } from "./machines/pseries/machine.ts";
import { rtasEntry } from "./machines/pseries/memory-map.ts";
import { TceDma } from "./machines/pseries/tce-dma.ts";
import { EmulatedEndpoint } from "./pci/emulated.ts";
import type { PciEndpoint } from "./pci/endpoint.ts";
import { VfioPciEndpoint } from "./pci/vfio-pci.ts";
import { VfioSession } from "./pci/vfio-session.ts";
import { Timeline, type VmSummary } from "./summary.ts";

export interface VmExit {
  /** 0 after power-off, 1 after a halt of the CPU, else 0. */
  readonly status: number;
  readonly reason: "power-off" | "reset" | "halt" | "stopped";
  readonly message?: string;
}

export interface Vm extends Disposable {
  /** Runs the guest to its end. Throws VmmError VM_STATE when it has run already. */
  run(): Promise<VmExit>;
  /** Ends run() with reason "stopped". */
  stop(): void;
  /** Notes a moment in the timeline, once for each name: what the caller reads off the console, for example. */
  mark(name: string): void;
  summary(): VmSummary;
  /** Gives everything back to the host. */
  close(): void;
}

/** POWER9 DD2.2, as the architecture level that the device tree names. */
const PVR_POWER9 = 0x004e1202;
const MSR_SF_LE = 0x8000000000000001n;
const R3 = 3;
const R5 = 5;
const TCE_CALLS = ["H_PUT_TCE", "H_PUT_TCE_INDIRECT", "H_STUFF_TCE", "H_GET_TCE"];

/**
 * Builds the machine, takes its devices and loads the kernel.
 * Throws VmmError (USAGE_* for what the caller can change, ELF_* for a bad kernel, PASSTHROUGH, DMA_WINDOW) and
 * VfioError for a device that the host does not give.
 */
export async function createVm(host: Host, config: VmConfig): Promise<Vm> {
  const resolved = resolveConfig(config);
  const image = parseElf(resolved.kernel, resolved.kernelName);
  const entry = rtasEntry(resolved.memoryBytes);
  const cpu = createCpu(resolved.memoryBytes, entry);
  const vm = new PseriesVm(host, cpu, resolved);
  try {
    vm.plugDevices();
    vm.load(image);
  } catch (error) {
    vm.close();
    throw error;
  }
  return vm;
}

/** The engine keeps RAM, its own state and decoded code in 4 GiB together. */
function createCpu(ramBytes: number, trapAddress: number): Cpu {
  try {
    return Cpu.create({ ramBytes, pvr: PVR_POWER9, trapAddress });
  } catch (cause) {
    if (!(cause instanceof Ppc64Error) && !(cause instanceof RangeError)) throw cause;
    throw new VmmError(`the software CPU cannot be made with ${hex(ramBytes)} bytes of memory: ${cause.message}`, {
      code: "USAGE_MEMORY_TOO_LARGE",
      details: { ramBytes },
      hint: "give the guest less memory; up to 3.5 GiB work where the host has them",
      cause,
    });
  }
}

class PseriesVm implements Vm {
  private readonly config: ResolvedConfig;
  private readonly host: Host;
  private readonly cpu: Cpu;
  private readonly ram: GuestMemory;
  private readonly console: ConsolePort;
  private readonly timeline: Timeline;
  private readonly machine: PseriesMachine;
  private readonly clock: GuestClock;
  private readonly accel: SoftAccel;
  private readonly sessions = new Map<string, VfioSession>();
  private state: "ready" | "running" | "ended" | "closed" = "ready";
  private runMs = 0;

  constructor(host: Host, cpu: Cpu, config: ResolvedConfig) {
    this.config = config;
    this.host = host;
    this.cpu = cpu;
    this.ram = new GuestMemory(cpu.memory.buffer, cpu.ramOffset, cpu.ramBytes);
    this.console = new ConsolePort(config.console);
    this.timeline = new Timeline(() => cpu.retired);
    this.clock = config.clock === "wall" ? wallClock(cpu) : instructionClock(cpu);
    this.machine = new PseriesMachine({
      ram: this.ram,
      cpu: {
        setAil: (on) => cpu.setAil(on),
        setProcessTable: (base, sizeLog2) => cpu.setProcessTable(base, sizeLog2),
        flushTlb: () => cpu.flushTlb(),
        cede: () => this.accel.cede(),
        setExternalInterrupt: (level) => {
          cpu.setExternalInterrupt(level);
          if (level) this.accel.wake();
        },
      },
      console: this.console,
      timeline: this.timeline,
      timeOfDay: () => this.clock.timeOfDay(),
      dmaWindowBytes: config.dmaWindowBytes,
      ddw: config.ddw,
    });
    this.accel = new SoftAccel({
      cpu,
      machine: this.machine,
      clock: this.clock,
      onPause: () => this.console.flush(),
    });
    this.timeline.mark("machine created");
  }

  plugDevices(): void {
    this.config.devices.forEach((device, index) => {
      const endpoint = this.makeEndpoint(device, device.id ?? `dev${index}`);
      this.machine.phb.plug(endpoint, device.slot);
    });
    if (this.config.devices.length > 0) this.timeline.mark("devices taken");
  }

  load(image: ReturnType<typeof parseElf>): void {
    const { append, initrd, kernelName, dmaWindowBytes, ddw } = this.config;
    const { machine, ram, cpu } = this;
    const request = (start: number): DeviceTreeRequest => ({
      ramBytes: ram.size,
      append,
      initrd: initrd === undefined ? undefined : { start, end: start + initrd.length },
      rtasEntry: machine.rtasEntry,
      rtasTokens: machine.rtas.tokens(),
      slots: machine.phb.slots,
      dmaWindowBytes,
      ddw,
    });
    // The tree's size does not depend on the addresses in it.
    const fdtBytes = pseriesFdt(request(0)).length;
    const layout = placeBootImages({
      ramBytes: ram.size,
      kernelEnd: image.end,
      initrdBytes: initrd?.length ?? 0,
      fdtBytes,
    });
    loadElf(image, ram.u8, kernelName);
    if (initrd !== undefined) ram.writeBytes(layout.initrdStart, initrd);
    ram.writeBytes(layout.fdtStart, pseriesFdt(request(layout.initrdStart)));
    cpu.setGpr(R3, 0, layout.fdtStart);
    // Zero: there is no Open Firmware client interface.
    cpu.setGpr(R5, 0, 0);
    cpu.msr = MSR_SF_LE;
    cpu.pc = BigInt(image.entry);
    this.timeline.mark("kernel loaded");
  }

  async run(): Promise<VmExit> {
    if (this.state !== "ready") {
      throw new VmmError(`this VM cannot run: it is ${this.state}`, {
        code: "VM_STATE",
        details: { state: this.state },
        hint: "make a new one with createVm()",
      });
    }
    this.state = "running";
    this.timeline.mark("guest entered");
    const started = performance.now();
    const end = await this.accel.run();
    this.runMs = performance.now() - started;
    this.state = "ended";
    this.timeline.mark("run ended");
    const status = end.reason === "halt" ? 1 : 0;
    return end.reason === "halt"
      ? { status, reason: end.reason, message: end.message }
      : { status, reason: end.reason };
  }

  mark(name: string): void {
    this.timeline.mark(name);
  }

  stop(): void {
    this.accel.stop();
  }

  summary(): VmSummary {
    const { cpu, machine, accel, console } = this;
    const hypercalls = machine.hcalls.counts();
    const busySeconds = Math.max(this.runMs - accel.idleMs, 0) / 1000;
    return {
      machine: "pseries",
      timeline: [...this.timeline.marks],
      runMs: this.runMs,
      idleMs: accel.idleMs,
      instructions: cpu.retired,
      mips: busySeconds > 0 ? cpu.retired / busySeconds / 1e6 : 0,
      hypercalls,
      rtasCalls: machine.rtas.counts(),
      tce: { userSpace: Object.fromEntries(TCE_CALLS.map((name) => [name, hypercalls[name] ?? 0])) },
      dma: [...this.sessions.values()].map(({ counters }) => ({ ...counters, messages: [...counters.messages] })),
      devices: machine.phb.slots.map(({ slot, endpoint }) => ({
        name: endpoint.name,
        slot,
        problems: [...endpoint.problems],
      })),
      interrupts: machine.xics.delivered(),
      exits: { ...accel.exits, unclaimedMmio: machine.phb.unclaimed, strayMmio: machine.strayAccesses },
      console: {
        outputBytes: console.outputBytes,
        inputBytes: console.inputBytes,
        inputDropped: console.inputDropped,
      },
      cpu: { ...cpu.counters },
    };
  }

  close(): void {
    if (this.state === "closed") return;
    this.accel.stop();
    this.console.flush();
    this.machine.close();
    for (const session of this.sessions.values()) session.close();
    this.state = "closed";
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private makeEndpoint(device: ResolvedConfig["devices"][number], name: string): PciEndpoint {
    if (device.driver === "vfio-pci") {
      return new VfioPciEndpoint(name, this.host, this.sessionOf(device).open(device.host, device.groupFd));
    }
    return new EmulatedEndpoint(name, device.device, new TceDma(this.machine.tables, DmaWindows.liobns, this.ram));
  }

  /** One session a container: the VM's own, a named one, or one that was passed in. */
  private sessionOf({ container = "", containerFd }: VfioPciConfig): VfioSession {
    const key = containerFd === undefined ? `name ${container}` : `descriptor ${containerFd}`;
    let session = this.sessions.get(key);
    if (session === undefined) {
      const attach = (listener: TceListener): void => this.machine.tables.listen(DmaWindows.liobns, listener);
      session = new VfioSession({ host: this.host, ram: this.ram, attach, containerFd });
      this.sessions.set(key, session);
    }
    return session;
  }
}
