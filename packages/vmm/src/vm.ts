// createVm: from a configuration to a machine with a loaded kernel, ready to run. One Vm runs once: a reset of the
// guest ends the run, and the caller makes a new Vm.
import type { GuestMemory, Host } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci/function";
import type { Accelerator, CpuInspection } from "./accel/accelerator.ts";
import { kvmAccelerator } from "./accel/kvm.ts";
import { softwareAccelerator } from "./accel/software.ts";
import { loadElf, parseElf, placeBootImages } from "./boot/index.ts";
import type { VfioPciConfig } from "./config/functions.ts";
import { type DeviceConfig, type ResolvedConfig, resolveConfig, type VmConfig } from "./config.ts";
import { ConsolePort } from "./console.ts";
import { VmmError } from "./errors.ts";
import { pseriesAttributes } from "./machines/pseries/attributes-now.ts";
import type { CacheShadow } from "./machines/pseries/coherency/cache-shadow.ts";
import type { CoherencyChecker } from "./machines/pseries/coherency/checker.ts";
import { DmaWindows } from "./machines/pseries/ddw.ts";
import { type DeviceTreeRequest, pseriesFdt } from "./machines/pseries/device-tree.ts";
import { PseriesMachine } from "./machines/pseries/machine.ts";
import { TceDma } from "./machines/pseries/tce-dma.ts";
import type { VscsiAdapter } from "./machines/pseries/vio/vscsi/adapter.ts";
import { plugVscsi, type VscsiConfig } from "./machines/pseries/vio/vscsi/config.ts";
import { EmulatedEndpoint } from "./pci/emulated.ts";
import type { PciEndpoint } from "./pci/endpoint.ts";
import { containerName, SpaprSession } from "./pci/spapr-session.ts";
import { VfioPciEndpoint } from "./pci/vfio-pci.ts";
import type { RunningAttributes } from "./running-attributes.ts";
import { type PseriesSummary, Timeline, type VmSummary } from "./summary.ts";

export interface VmExit {
  /** 0 after power-off, 1 after a halt of the CPU, else 0. */
  readonly status: number;
  readonly reason: "power-off" | "reset" | "halt" | "stopped";
  readonly message?: string;
}

/** A machine with a guest. `S` is what it tells of itself afterwards. */
export interface Vm<S extends VmSummary = VmSummary> extends Disposable {
  /** Runs the guest to its end. Throws VmmError VM_STATE when it has run already. */
  run(): Promise<VmExit>;
  /** Ends run() with reason "stopped". */
  stop(): void;
  /** Notes a moment in the timeline, once for each name: what the caller reads off the console, for example. */
  mark(name: string): void;
  summary(): S;
  /**
   * What is behind the guest's pages now: before run() and while it runs, without keeping the guest waiting. Throws VmmError
   * VM_STATE after the end.
   */
  attributes(): Promise<RunningAttributes>;
  /** Gives everything back to the host. */
  close(): void;
}

const TCE_CALLS = ["H_PUT_TCE", "H_PUT_TCE_INDIRECT", "H_STUFF_TCE", "H_GET_TCE"];

/**
 * Builds the machine, takes its devices and loads the kernel.
 * Throws VmmError (USAGE_* for what the caller can change, ELF_* for a bad kernel, PASSTHROUGH, DMA_WINDOW) and
 * VfioError for a device that the host does not give.
 */
export async function createVm(host: Host, config: VmConfig): Promise<Vm<PseriesSummary>> {
  const resolved = resolveConfig(config);
  const image = parseElf(resolved.kernel, resolved.kernelName);
  const { accel, memoryBytes, clock } = resolved;
  const shadow = resolved.coherency && new (await import("./machines/pseries/coherency/cache-shadow.ts")).CacheShadow();
  const accelerator =
    accel === "kvm" ? kvmAccelerator(host, memoryBytes) : softwareAccelerator(memoryBytes, clock, shadow);
  const vm = new PseriesVm(host, accelerator, resolved);
  try {
    if (shadow !== undefined) await vm.check(shadow);
    vm.plugDevices();
    vm.load(image);
  } catch (error) {
    vm.close();
    throw error;
  }
  return vm;
}

class PseriesVm implements Vm<PseriesSummary> {
  private readonly config: ResolvedConfig;
  private readonly host: Host;
  private readonly ram: GuestMemory;
  private readonly console: ConsolePort;
  private readonly timeline: Timeline;
  private readonly machine: PseriesMachine;
  private readonly accel: Accelerator;
  private readonly adapters: VscsiAdapter[] = [];
  private readonly sessions = new Map<string, SpaprSession>();
  private state: "ready" | "running" | "ended" | "closed" = "ready";
  private runMs = 0;
  private checker: CoherencyChecker | undefined;

  constructor(host: Host, accel: Accelerator, config: ResolvedConfig) {
    this.config = config;
    this.host = host;
    this.accel = accel;
    this.ram = accel.ram;
    this.console = new ConsolePort(config.console);
    this.timeline = new Timeline(() => accel.instructions);
    this.machine = new PseriesMachine({
      ram: this.ram,
      cpu: accel.cpu,
      console: this.console,
      timeline: this.timeline,
      timeOfDay: () => accel.timeOfDay(),
      dmaWindowBytes: config.dmaWindowBytes,
      tceAcceleration: accel.tce,
      vfioAccel: config.vfioAccel,
      ddw: config.ddw,
    });
    this.timeline.mark("machine created");
  }

  /** Before devices are plugged in. */
  async check(shadow: CacheShadow): Promise<void> {
    const { config, machine, ram, accel } = this;
    const { attachChecker, observeHost } = await import("./machines/pseries/coherency/attach.ts");
    const { coherency = {} } = config;
    this.checker = attachChecker({ machine, ram, shadow, cpu: accel.inspection as CpuInspection }, coherency);
    const names = config.devices.map((device, index) => [device, device.id ?? `dev${index}`] as const);
    const functions = names.flatMap(([device, name]) =>
      device.driver === "vfio-pci" ? [[device.host, name] as const] : [],
    );
    observeHost(this.checker, new Map(functions), coherency.observeDma);
  }

  plugDevices(): void {
    const { machine, ram, checker } = this;
    const guard =
      checker && ((name: string, dma: DmaPort, liobns: readonly number[]) => checker.guard(name, dma, liobns));
    const platform = { ram, tables: machine.tables, xics: machine.xics, guard };
    this.config.devices.forEach((device, index) => {
      const name = device.id ?? `dev${index}`;
      if (device.driver === "spapr-vscsi") this.adapters.push(plugVscsi(machine.vio, platform, name, device));
      else machine.phb.plug(this.makeEndpoint(device, name), device.slot);
    });
    if (this.config.devices.length > 0) this.timeline.mark("devices taken");
  }

  load(image: ReturnType<typeof parseElf>): void {
    const { append, initrd, kernelName, dmaWindowBytes, ddw } = this.config;
    const { machine, ram } = this;
    const eeh = machine.eeh.offered;
    machine.eeh.reenable();
    const request = (start: number): DeviceTreeRequest => ({
      ramBytes: ram.size,
      append,
      initrd: initrd === undefined ? undefined : { start, end: start + initrd.length },
      rtasEntry: machine.rtasEntry,
      rtasTokens: machine.rtas.tokens(),
      slots: machine.phb.slots,
      vdevices: machine.vio.devices.map((device) => device.deviceTreeNode()),
      dmaWindowBytes,
      ddw,
      eeh,
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
    this.accel.enter(image.entry, layout.fdtStart);
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
    const end = await this.accel.run(this.machine, () => this.console.flush());
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

  summary(): PseriesSummary {
    const { machine, accel, console } = this;
    const hypercalls = machine.hcalls.counts();
    const { instructions } = accel;
    const busySeconds = Math.max(this.runMs - accel.idleMs, 0) / 1000;
    return {
      machine: "pseries",
      accelerator: accel.name,
      timeline: [...this.timeline.marks],
      runMs: this.runMs,
      idleMs: accel.idleMs,
      instructions,
      mips: busySeconds > 0 ? instructions / busySeconds / 1e6 : 0,
      hypercalls,
      ...this.kernelStages(),
      windows: machine.tables.windows(),
      rtasCalls: machine.rtas.counts(),
      dma: [...this.sessions.values()].map(({ counters }) => ({ ...counters, messages: [...counters.messages] })),
      devices: machine.phb.slots.map(({ slot, endpoint }) => ({
        name: endpoint.name,
        slot,
        ...(endpoint.barWrites === undefined ? {} : { barWrites: endpoint.barWrites() }),
        problems: [...endpoint.problems],
      })),
      vio: this.adapters.map(({ name, unit, counters, units }) => ({
        name,
        unit,
        messages: counters.messages,
        refused: counters.refused,
        ...units.counters(),
      })),
      ...this.checker?.log.summary(),
      interrupts: machine.xics.delivered(),
      exits: { ...accel.exits, unclaimedMmio: machine.phb.unclaimed, strayMmio: machine.strayAccesses },
      console: {
        outputBytes: console.outputBytes,
        inputBytes: console.inputBytes,
        inputDropped: console.inputDropped,
      },
      cpu: accel.counters(),
    };
  }

  async attributes(): Promise<RunningAttributes> {
    const { host, accel, machine, sessions, state } = this;
    if (state === "ended" || state === "closed") {
      throw new VmmError(`this VM has nothing to tell of its pages: it is ${state}`, {
        code: "VM_STATE",
        details: { state },
        hint: "ask before run() or while it runs",
      });
    }
    const passed = this.config.devices.flatMap((device) => (device.driver === "vfio-pci" ? [device] : []));
    const containers = [...sessions].map(([key, session]) => ({
      name: key,
      functions: passed.filter((device) => containerName(device) === key).map((device) => device.host),
      session,
    }));
    return pseriesAttributes(host, accel, machine.phb, containers);
  }

  /** Hypercalls by the stage that answered them. */
  private kernelStages(): Pick<PseriesSummary, "kernelHypercalls" | "tce"> {
    const { hcalls } = this.machine;
    const counts = hcalls.counts();
    const userSpace = Object.fromEntries(TCE_CALLS.map((name) => [name, counts[name] ?? 0]));
    const kernel = this.accel.kernelHypercalls?.();
    if (kernel === undefined) return { tce: { userSpace } };
    const named = (stage: ReadonlyMap<number, number>): Record<string, number> =>
      Object.fromEntries([...stage].map(([token, count]) => [hcalls.nameOf(token), count]));
    const [real, virtual] = [named(kernel.realMode), named(kernel.virtualMode)];
    const all = [...new Set([...Object.keys(real), ...Object.keys(virtual)])];
    const tce = (stage: Record<string, number>): Record<string, number> =>
      Object.fromEntries(TCE_CALLS.map((name) => [name, stage[name] ?? 0]));
    return {
      kernelHypercalls: Object.fromEntries(all.map((name) => [name, (real[name] ?? 0) + (virtual[name] ?? 0)])),
      tce: { realMode: tce(real), virtualMode: tce(virtual), userSpace },
    };
  }

  close(): void {
    if (this.state === "closed") return;
    this.accel.stop();
    this.console.flush();
    this.config.coherency?.observeDma?.(null);
    this.machine.close();
    for (const session of this.sessions.values()) session.close();
    this.machine.tables.close();
    this.accel.close();
    this.state = "closed";
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private makeEndpoint(device: Exclude<DeviceConfig, VscsiConfig>, name: string): PciEndpoint {
    if (device.driver === "vfio-pci") {
      return new VfioPciEndpoint(name, this.host, this.sessionOf(device).open(device.host, device.groupFd));
    }
    const dma = new TceDma(this.machine.tables, DmaWindows.liobns, this.ram);
    return new EmulatedEndpoint(name, device.device, this.checker?.guard(name, dma, DmaWindows.liobns) ?? dma);
  }

  /** One session a container: the VM's own, a named one, or one that was passed in. */
  private sessionOf(device: VfioPciConfig): SpaprSession {
    const { containerFd } = device;
    const key = containerName(device);
    let session = this.sessions.get(key);
    if (session === undefined) {
      const { host, ram, accel, machine } = this;
      const windows = machine.tables.on(DmaWindows.liobns);
      session = new SpaprSession({ host, ram, windows, containerFd, acceleration: accel.tce });
      this.sessions.set(key, session);
      machine.eeh.add(session);
    }
    return session;
  }
}
