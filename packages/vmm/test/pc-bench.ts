// Machine pc on a modelled host, without CPUs: the test plays the guest, whose accesses go to the machine as those of a
// vCPU would, and stands where the guest's interrupt controllers are.
import { MAP_ANONYMOUS, MAP_SHARED } from "@minivmm/host";
import { ManualClock, type ModelProcess, type SpawnOptions } from "@minivmm/host/model";
import type { InterruptSink, ModelVm } from "@minivmm/kvm/model";
import { type HostDescription, type ModelHostOptions, type ModelledHost, modelHost } from "@minivmm/model-host";
import { PcBox } from "../src/accel/x86/box.ts";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { ECAM, PORT_PCI_ADDRESS, PORT_PCI_DATA } from "../src/machines/pc/memory-map.ts";
import { allocateRam, PcRam } from "../src/machines/pc/ram.ts";
import { Timeline } from "../src/summary.ts";

export const MIB = 2 ** 20;
export const RAM_BYTES = 2 * MIB;
export const MSI_ADDRESS = 0xfee0_0000;

type Width = 1 | 2 | 4;

/** A modelled host whose time stands still until it is moved. */
export function stillHost(which: string | HostDescription, options: ModelHostOptions = {}) {
  const clock = new ManualClock();
  return { clock, model: modelHost(which, { ...options, clock }) };
}

/** The guest's interrupt controllers: what reaches them, in words, until somebody takes it. */
export class NotedInterrupts implements InterruptSink {
  private noted: string[] = [];

  pulse(gsi: number): void {
    this.noted.push(`pulse ${gsi}`);
  }

  level(gsi: number, high: boolean): void {
    this.noted.push(`line ${gsi} ${high ? "up" : "down"}`);
  }

  message(hi: number, lo: number, data: number): boolean {
    this.noted.push(`message ${(hi * 2 ** 32 + lo).toString(16)} ${data.toString(16)}`);
    return true;
  }

  take(): string[] {
    return this.noted.splice(0);
  }
}

export interface PcBenchOptions {
  readonly model: ModelledHost;
  readonly devices: readonly PcDeviceConfig[];
  /** Default: a process of `model` that may lock all memory. */
  readonly process?: ModelProcess;
  /** Where KVM is. Default: where the devices are. */
  readonly kvm?: { readonly model: ModelledHost; readonly process: ModelProcess };
  /** Default: RAM_BYTES from 0. */
  readonly ram?: PcRam;
}

export class PcBench implements Disposable {
  readonly model: ModelledHost;
  readonly process: ModelProcess;
  readonly ram: PcRam;
  readonly box: PcBox;
  /** The VM in the modelled KVM. */
  readonly vm: ModelVm;
  readonly interrupts = new NotedInterrupts();
  private readonly halves = new Uint32Array(2);

  constructor({ model, devices, process = spawn(model), kvm, ram }: PcBenchOptions) {
    this.model = model;
    this.process = process;
    this.ram = ram ?? new PcRam(allocateRam(RAM_BYTES));
    this.box = makeBox(process, devices, { ram: this.ram, kvmProcess: kvm?.process });
    this.vm = [...(kvm?.model ?? model).kvm.vms].at(-1) as ModelVm;
    this.vm.interrupts = this.interrupts;
  }

  /** A function as the guest finds it. */
  slot(slot: number): GuestFunction {
    return new GuestFunction(this, slot);
  }

  read(address: number, width: 1 | 2 | 4 | 8 = 4): number {
    this.box.machine.readMemory(address, width, this.halves);
    return this.halves[1]! * 2 ** 32 + this.halves[0]!;
  }

  write(address: number, value: number, width: 1 | 2 | 4 | 8 = 4): void {
    this.box.machine.writeMemory(address, width, value >>> 0, Math.floor(value / 2 ** 32));
  }

  /** What the guest is told of a device that it has, when it is over. */
  problems(name = "dev0"): readonly string[] {
    return this.box.devices.deviceSummaries().find((each) => each.name === name)?.problems ?? [];
  }

  [Symbol.dispose](): void {
    this.box.close();
    this.model.close();
  }
}

/** Functions of a ready-made host in slots 1 and up, and its time. */
export function guestWith(
  which: string | HostDescription,
  functions: readonly string[],
  options: ModelHostOptions = {},
) {
  const { model, clock } = stillHost(which, options);
  const bench = new PcBench({ model, devices: functions.map((host) => ({ driver: "vfio-pci", host })) });
  return { bench, clock, model, [Symbol.dispose]: () => bench[Symbol.dispose]() };
}

export function spawn(model: ModelledHost, options: SpawnOptions = {}): ModelProcess {
  return model.spawn({ memlock: Number.POSITIVE_INFINITY, ...options });
}

/** A modelled device's registers are no memory that KVM could show, so memory stands in for what is mapped of them. */
export function registersAsMemory(process: ModelProcess): void {
  const mmap = process.mmap.bind(process);
  process.mmap = ({ fd, offset, ...rest }) => {
    return mmap(fd === undefined ? rest : { ...rest, flags: MAP_SHARED | MAP_ANONYMOUS });
  };
}

/** A box that nobody looks at from the guest's side. `kvmProcess`: default `process`. */
export function makeBox(
  process: ModelProcess,
  devices: readonly PcDeviceConfig[],
  { ram = new PcRam(allocateRam(RAM_BYTES)), kvmProcess }: { ram?: PcRam; kvmProcess?: ModelProcess | undefined } = {},
): PcBox {
  return new PcBox({
    kvmHost: kvmProcess ?? process,
    deviceHost: process,
    devices,
    ram,
    cpus: 1,
    console: { write: () => undefined },
    timeline: new Timeline(() => 0),
    watch: (fd, onReadable) => process.watch(fd, onReadable),
  });
}

export class GuestFunction {
  private readonly bench: PcBench;
  private readonly ecam: number;
  private readonly slot: number;

  constructor(bench: PcBench, slot: number) {
    this.bench = bench;
    this.slot = slot;
    this.ecam = ECAM.start + (slot << 15);
  }

  /** Configuration register, through ECAM. */
  config(offset: number, width: Width = 4): number {
    return this.bench.read(this.ecam + offset, width);
  }

  setConfig(offset: number, value: number, width: Width = 4): void {
    this.bench.write(this.ecam + offset, value, width);
  }

  /** The same through the ports of configuration mechanism 1. */
  configByPorts(offset: number, width: Width = 4): number {
    const { machine } = this.bench.box;
    machine.writePort(PORT_PCI_ADDRESS, 4, (0x8000_0000 | (this.slot << 11) | (offset & 0xfc)) >>> 0);
    return machine.readPort(PORT_PCI_DATA + (offset & 3), width);
  }

  /** Where a BAR is: guest physical address or port. */
  bar(index: number): number {
    const low = this.config(0x10 + index * 4);
    if (low & 1) return (low & ~3) >>> 0;
    const high = (low & 6) === 4 ? this.config(0x14 + index * 4) : 0;
    return high * 2 ** 32 + ((low & ~0xf) >>> 0);
  }

  /** A register behind a memory BAR. */
  reg(offset: number, width: 1 | 2 | 4 | 8 = 4, bar = 0): number {
    return this.bench.read(this.bar(bar) + offset, width);
  }

  setReg(offset: number, value: number, width: 1 | 2 | 4 | 8 = 4, bar = 0): void {
    this.bench.write(this.bar(bar) + offset, value, width);
  }

  /** Offset of a capability, 0 for none. */
  capability(id: number): number {
    // A list that goes round ends, too: a function that is gone has one.
    for (let at = this.config(0x34, 1), n = 0; at >= 0x40 && n < 48; at = this.config(at + 1, 1), n++) {
      if (this.config(at, 1) === id) return at;
    }
    return 0;
  }

  /** Memory, ports and DMA on. */
  enable(): void {
    this.setConfig(4, this.config(4, 2) | 7, 2);
  }

  /** MSI with so many vectors; `data` 0 switches it off. */
  setMsi(data: number, vectors = 1): void {
    const at = this.capability(5);
    const wide = (this.config(at + 2, 2) & 0x80) !== 0;
    this.setConfig(at + 4, MSI_ADDRESS);
    if (wide) this.setConfig(at + 8, 0);
    this.setConfig(at + (wide ? 12 : 8), data, 2);
    this.setConfig(at + 2, data === 0 ? 0 : 1 | (Math.log2(vectors) << 4), 2);
  }
}

/** Ids of the extended capabilities in their order, as a reader of dwords finds them. */
export function extendedCapabilities(read: (offset: number) => number): number[] {
  const ids: number[] = [];
  for (let at = 0x100; at >= 0x100; ) {
    const header = read(at);
    if (header === 0 || header === 0xffff_ffff) break;
    ids.push(header & 0xffff);
    at = header >>> 20;
  }
  return ids;
}
