// The machine pseries: a paravirtual POWER guest's platform, put together from its parts. The machine answers
// hypercalls, RTAS calls and accesses outside RAM; who runs the CPU (an accelerator) brings them here.
// Source: PAPR 2.7; QEMU 7.2 hw/ppc/spapr.c for the choice of what exists.
// Invariant: nothing that a guest does throws here or reaches memory other than the guest's own RAM.
import type { GuestMemory } from "@minivmm/host";
import type { ConsolePort } from "../../console.ts";
import type { DecodedRange } from "../../pci/decode.ts";
import type { Timeline } from "../../summary.ts";
import { DmaWindows } from "./ddw.ts";
import { EehContainers } from "./eeh.ts";
import { registerConsoleHcalls } from "./hcalls/console.ts";
import { type HcallCpu, registerCpuHcalls } from "./hcalls/cpu.ts";
import { registerLogicalCiHcalls } from "./hcalls/logical-ci.ts";
import { HcallTable } from "./hcalls/table.ts";
import { registerTceHcalls } from "./hcalls/tce.ts";
import { registerVioHcalls } from "./hcalls/vio.ts";
import { registerXicsHcalls } from "./hcalls/xics.ts";
import { TceTables } from "./iommu.ts";
import { IRQ_EPOW, rtasEntry } from "./memory-map.ts";
import { MsiAllocator } from "./msi-allocator.ts";
import { Phb } from "./phb.ts";
import { registerDdw } from "./rtas/ddw.ts";
import { registerEeh } from "./rtas/eeh.ts";
import { registerMsi } from "./rtas/msi.ts";
import { registerPciConfig } from "./rtas/pci-config.ts";
import { registerPlatform } from "./rtas/platform.ts";
import { RtasTable } from "./rtas/table.ts";
import { registerXics } from "./rtas/xics.ts";
import type { TceAcceleration } from "./tce-acceleration.ts";
import { VioBus } from "./vio/bus.ts";
import { Vty } from "./vty.ts";
import { Xics } from "./xics.ts";

export interface PseriesCpu extends HcallCpu {
  setExternalInterrupt(level: boolean): void;
  /**
   * Guest real addresses at which stores through pages of tolerant I/O may be combined. Absent on a CPU that hands out each
   * store by itself, as KVM does with accesses that it emulates.
   */
  setCombinable?(ranges: readonly DecodedRange[]): void;
}

export interface PseriesOptions {
  readonly ram: GuestMemory;
  readonly cpu: PseriesCpu;
  readonly console: ConsolePort;
  readonly timeline: Timeline;
  /** Milliseconds since 1970, for the guest's clock. */
  readonly timeOfDay: () => number;
  readonly dmaWindowBytes: number;
  readonly ddw: boolean;
  /** KVM's TCE tables; absent without KVM. */
  readonly tceAcceleration?: TceAcceleration | undefined;
  /** Let KVM answer for windows of passed-through devices. Default true. */
  readonly vfioAccel?: boolean;
}

export type StopRequest = "power-off" | "reset";

export class PseriesMachine {
  readonly ram: GuestMemory;
  readonly rtasEntry: number;
  readonly xics = new Xics();
  readonly phb: Phb;
  readonly tables: TceTables;
  readonly windows: DmaWindows;
  /** Containers of the bridge's passed-through functions, for EEH. */
  readonly eeh = new EehContainers();
  readonly vio = new VioBus();
  readonly hcalls = new HcallTable();
  readonly rtas: RtasTable;
  /** Set when the guest asked for the end of the run. */
  stopRequest: StopRequest | undefined;
  readonly ddw: boolean;
  /** Called when the guest had the machine store to RAM past the caches. */
  onInhibitedStore: (address: number, size: number) => void = () => undefined;

  constructor(options: PseriesOptions) {
    const { ram, cpu, console, timeline } = options;
    this.ram = ram;
    this.ddw = options.ddw;
    this.rtasEntry = rtasEntry(ram.size);
    this.phb = new Phb(this.xics, (ranges) => cpu.setCombinable?.(ranges));
    const { tceAcceleration: acceleration, vfioAccel = true } = options;
    this.tables = new TceTables({ acceleration, vfioAccel });
    this.windows = new DmaWindows(this.tables, options.dmaWindowBytes);
    this.rtas = new RtasTable(ram);
    this.xics.onLine = (level) => cpu.setExternalInterrupt(level);
    this.xics.claim(IRQ_EPOW, "edge", "epow");
    console.onFirstOutput = () => timeline.mark("first console output");

    registerConsoleHcalls(this.hcalls, new Vty(console, this.xics));
    registerCpuHcalls(this.hcalls, cpu, ram);
    registerXicsHcalls(this.hcalls, this.xics, this.phb);
    registerTceHcalls(this.hcalls, this.tables, ram);
    registerVioHcalls(this.hcalls, this.vio);
    registerLogicalCiHcalls(this.hcalls, ram, this.phb, (address, size) => this.onInhibitedStore(address, size));

    registerPlatform(
      this.rtas,
      {
        timeOfDay: options.timeOfDay,
        powerOff: () => this.stop("power-off", timeline),
        reboot: () => this.stop("reset", timeline),
      },
      ram,
    );
    registerPciConfig(this.rtas, this.phb);
    registerMsi(this.rtas, this.phb, new MsiAllocator(this.xics));
    registerXics(this.rtas, this.xics);
    registerEeh(this.rtas, this.phb, this.eeh);
    if (options.ddw) registerDdw(this.rtas, this.phb, this.windows, () => timeline.mark("dynamic DMA window"));
  }

  /** A load outside RAM. Addresses where nothing is read as ones. */
  mmioRead(address: number, size: 1 | 2 | 4 | 8, out: Uint32Array): void {
    if (this.phb.read(address, size, out)) return;
    this.strayAccesses++;
    out[0] = size >= 4 ? 0xffffffff : 2 ** (size * 8) - 1;
    out[1] = size === 8 ? 0xffffffff : 0;
  }

  mmioWrite(address: number, size: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (!this.phb.write(address, size, lo, hi)) this.strayAccesses++;
  }

  /** Combined stores outside RAM, as Phb.writeBurst has them. */
  mmioBurst(address: number, lo: number, hi: number, bytes: Uint8Array): void {
    this.phb.writeBurst(address, lo, hi, bytes);
  }

  /** Accesses outside RAM and outside every window. */
  strayAccesses = 0;

  close(): void {
    this.phb.close();
    this.vio.close();
  }

  private stop(request: StopRequest, timeline: Timeline): void {
    this.stopRequest ??= request;
    // No queue and no window outlives the system that set it up.
    this.vio.reset();
    timeline.mark(request === "power-off" ? "power off" : "reset");
  }
}
