// A machine pc, ready to be run by CPUs: KVM's VM, platform, tables, vCPUs, and whatever is plugged in by somebody else. By
// itself it has no devices, and loads nothing that only devices need.
// Order: VM, platform, devices, firmware's work, vCPUs. Invariant: close() gives everything back, in reverse order, and so
// does a constructor that throws.
import { type Host, lockedBytes, MinivmmError } from "@minivmm/host";
import { KVM_CAP_TSC_DEADLINE_TIMER, type KvmVcpu } from "@minivmm/kvm";
import type { KvmDmaFacts } from "../../attributes/kvm-dma.ts";
import type { X86Boot } from "../../boot/index.ts";
import { type ConsoleBackend, ConsolePort } from "../../console.ts";
import { pcAcpiTables } from "../../machines/pc/acpi.ts";
import { BOOT_FPU, BOOT_MSRS, bootCpuState } from "../../machines/pc/cpu-state.ts";
import { cpuidOfCpu, physicalAddressBits } from "../../machines/pc/cpuid.ts";
import { assignResources } from "../../machines/pc/firmware.ts";
import type { PcHostBridge } from "../../machines/pc/host-bridge.ts";
import { setLocalPins } from "../../machines/pc/local-apic.ts";
import { PcMachine } from "../../machines/pc/machine.ts";
import { mem64Window } from "../../machines/pc/memory-map.ts";
import type { PcRam } from "../../machines/pc/ram.ts";
import type { ContainerNow, MachineAttributes } from "../../running-attributes.ts";
import type { DeviceSummary, DomainSummary, Timeline } from "../../summary.ts";
import { openPcKvm, PcKvm } from "./pc-kvm.ts";

export interface BareBoxOptions {
  readonly kvmHost: Host;
  readonly ram: PcRam;
  readonly cpus: number;
  readonly console: ConsoleBackend;
  readonly timeline: Timeline;
}

/** What somebody plugged in. close() never throws. */
export interface PluggedDevices {
  readonly problems: readonly string[];
  /** The host that they are on; absent without devices. */
  readonly host?: Host;
  domainSummaries(): DomainSummary[];
  containers(): ContainerNow[];
  kvmDma(): KvmDmaFacts | undefined;
  deviceSummaries(): DeviceSummary[];
  close(): void;
}

export interface Sockets {
  readonly kvm: PcKvm;
  readonly ram: PcRam;
  readonly bridge: PcHostBridge;
  /** The CPU whose access is answered, or was answered last. */
  readonly cpu: () => number;
  /** A device had an error that it does not recover from. */
  readonly failed: (message: string) => void;
}

/** A host that does not say how many address bits a guest has, has at least these. */
const LEAST_ADDRESS_BITS = 36;

const NO_DEVICES: PluggedDevices = {
  problems: [],
  domainSummaries: () => [],
  containers: () => [],
  kvmDma: () => undefined,
  deviceSummaries: () => [],
  close: () => undefined,
};

export class BareBox {
  readonly console: ConsolePort;
  readonly kvm: PcKvm;
  readonly machine: PcMachine;
  readonly devices: PluggedDevices;
  /** What firmware could not give the devices, in words. */
  readonly problems: readonly string[];
  /** Set when a device failed for good. */
  failure: string | undefined;
  /** Interrupts that KVM did not take. */
  lostInterrupts = 0;
  private readonly options: BareBoxOptions;

  /** `plug` is called once the bus is there. Throws VmmError, KvmError, and what `plug` throws. */
  constructor(options: BareBoxOptions, plug?: (sockets: Sockets) => PluggedDevices) {
    this.options = options;
    const { kvmHost, ram, timeline } = options;
    this.console = new ConsolePort(options.console);
    this.kvm = new PcKvm(kvmHost, openPcKvm(kvmHost), ram);
    let machine: PcMachine | undefined;
    let devices = NO_DEVICES;
    try {
      const { vm } = this.kvm;
      machine = new PcMachine({
        ram,
        console: this.console,
        timeline,
        mem64: mem64Window(this.addressBits(), ram.end),
        interrupts: {
          setLine: (gsi, level) => this.interrupt(() => vm.setIrqLine(gsi, level)),
          sendMessage: (addressHi, addressLo, data) =>
            this.interrupt(() => vm.signalMsi({ addressHi, addressLo, data })),
        },
      });
      timeline.mark("machine created");
      const made = machine;
      const { bridge } = made;
      const failed = (message: string): void => {
        this.failure ??= message;
      };
      devices = plug?.({ kvm: this.kvm, ram, bridge, cpu: () => made.cpu, failed }) ?? NO_DEVICES;
      if (devices !== NO_DEVICES) timeline.mark("devices taken");
      this.problems = assignResources(bridge);
    } catch (error) {
      devices.close();
      machine?.close();
      this.kvm.close();
      throw error;
    }
    this.machine = machine;
    this.devices = devices;
  }

  /** Writes the tables and makes the CPUs, of which the first will start where `boot` says. Throws KvmError. */
  start(boot: X86Boot): void {
    const { ram, cpus } = this.options;
    const tables = pcAcpiTables({ cpus, mem64: this.machine.bridge.mem64 });
    ram.low.writeBytes(tables.address, tables.bytes);
    this.kvm.createVcpus(cpus);
    const supported = this.kvm.system.supportedCpuid();
    const tscDeadline = this.kvm.system.checkExtension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    this.kvm.vcpus.forEach((vcpu, index) => {
      vcpu.setCpuid(cpuidOfCpu(supported, { index, count: cpus, tscDeadline }));
      vcpu.setMsrs(BOOT_MSRS);
      vcpu.setFpu(BOOT_FPU);
      setLocalPins(vcpu);
    });
    const first = this.kvm.vcpus[0] as KvmVcpu;
    const { regs, sregs } = bootCpuState(first.getSregs(), boot);
    first.setSregs(sregs);
    first.setRegs(regs);
  }

  /** What is behind the guest's pages now. KVM that has been told of no device counts none. */
  attributes(): MachineAttributes {
    const { devices, machine, options } = this;
    const dma = devices.kvmDma();
    const host = devices.host ?? options.kvmHost;
    return {
      machine: "pc",
      accelerator: "kvm",
      nonCoherentDma: dma === undefined ? false : dma.nonCoherent,
      ram: options.ram.pieces.map(({ start, memory }) => ({ start, bytes: memory.size })),
      containers: devices.containers(),
      lockedBytes: lockedBytes(host.readFile("/proc/self/status")),
      bars: machine.bridge.barsNow(),
      combined: machine.combined === undefined ? null : { ...machine.combined.counters },
    };
  }

  close(): void {
    this.console.flush();
    this.devices.close();
    this.machine.close();
    this.kvm.close();
  }

  /** A modelled KVM has no CPUs to describe. */
  private addressBits(): number {
    try {
      return physicalAddressBits(this.kvm.system.supportedCpuid());
    } catch (error) {
      if (error instanceof MinivmmError) return LEAST_ADDRESS_BITS;
      throw error;
    }
  }

  /** What an interrupt needs is in the guest's hands, so KVM may refuse it; nobody is told but the summary. */
  private interrupt(send: () => void): void {
    try {
      send();
    } catch {
      this.lostInterrupts++;
    }
  }
}
