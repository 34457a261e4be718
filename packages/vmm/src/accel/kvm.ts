// The accelerator `kvm`: the guest runs in the host kernel's KVM, and what the kernel does not answer comes here.
// Source: Documentation/virt/kvm/api.rst; QEMU 7.2 target/ppc/kvm.c for what machine pseries asks of HV KVM.
// Invariants: RAM is one slot, shown to the kernel where it lies; hypercalls and device accesses are answered without
// leaving the loop; an idle guest costs no host CPU time; after stop() at most one KVM_RUN goes on.
// A kernel that puts the vCPU to sleep itself returns EINTR only for signals; a modelled one cannot sleep, and tells by
// its descriptor when the guest can go on.
import {
  EINTR,
  GuestMemory,
  type Host,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import {
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_MMIO,
  KVM_EXIT_PAPR_HCALL,
  KVM_REG_PPC_IC,
  KVM_REG_PPC_LPCR_64,
  type KvmPowerVcpu,
  type KvmSystem,
  type KvmVm,
  LPCR_AIL,
  LPCR_AIL_3,
  LPCR_ILE,
} from "@minivmm/kvm";
import { allocateGuestRam } from "@minivmm/ppc64";
import { VmmError } from "../errors.ts";
import { put, small } from "../machines/pseries/hcalls/table.ts";
import type { PseriesCpu } from "../machines/pseries/machine.ts";
import { rtasEntry } from "../machines/pseries/memory-map.ts";
import { H_RTAS, rtasFirmware } from "../machines/pseries/rtas/firmware.ts";
import {
  type Accelerator,
  type AccelMachine,
  eventLoopTurn,
  type KernelHypercalls,
  type RunEnd,
} from "./accelerator.ts";
import { openPowerKvm } from "./kvm-open.ts";
import { KvmTce } from "./kvm-tce.ts";
import { noRoom } from "./software.ts";

const SLOT_RAM = 0;
const SLOT_RTAS = 1;
/** Pages of other memory that the modelled CPU may copy at a time: there is one, the RTAS entry. */
const FRAME_PAGES = 64;
const MSR_SF_LE = 0x8000000000000001n;
const MSR_EE = 0x8000n;
const TWO32 = 2 ** 32;
const SLEEP_MAX_MS = 60_000;
const R3 = 3;
const R4 = 4;

/** Throws VmmError USAGE_ACCEL when the host has no KVM for POWER guests, USAGE_MEMORY_TOO_LARGE, or KvmError. */
export function kvmAccelerator(host: Host, ramBytes: number): Accelerator {
  const system = openPowerKvm(host);
  try {
    return new KvmAccelerator(host, system, ramBytes);
  } catch (error) {
    system.close();
    throw error;
  }
}

class KvmAccelerator implements Accelerator {
  readonly name = "kvm";
  readonly ram: GuestMemory;
  readonly cpu: PseriesCpu;
  readonly tce: KvmTce;
  readonly exits = { hypercall: 0, mmio: 0, rtas: 0, slice: 0, idle: 0 };
  idleMs = 0;
  private readonly host: Host;
  private readonly system: KvmSystem;
  private readonly vm: KvmVm;
  private readonly vcpu: KvmPowerVcpu;
  private readonly firmware: Mapping;
  private readonly halves = new Uint32Array(2);
  private stopping = false;
  private wakeSleeper: (() => void) | undefined;
  private open = true;
  private lastCount = 0;
  private lastKernel: KernelHypercalls = { realMode: new Map(), virtualMode: new Map() };
  private lastStatistics: Readonly<Record<string, number>> = {};

  constructor(host: Host, system: KvmSystem, ramBytes: number) {
    this.host = host;
    this.system = system;
    this.ram = allocateRam(ramBytes);
    this.vm = system.createVm();
    this.firmware = firmwarePage(host);
    this.vm.setMemoryRegion({ slot: SLOT_RAM, guestAddress: 0n, memory: this.ram.u8 });
    const guestAddress = BigInt(rtasEntry(ramBytes));
    this.vm.setMemoryRegion({ slot: SLOT_RTAS, guestAddress, memory: this.firmware.bytes as Uint8Array });
    this.tce = new KvmTce(this.vm);
    const vcpu = this.vm.createPowerVcpu(0);
    this.vcpu = vcpu;
    vcpu.enablePapr();
    // The machine is little-endian from the first interrupt on.
    vcpu.setOneReg(KVM_REG_PPC_LPCR_64, vcpu.getOneReg(KVM_REG_PPC_LPCR_64) | LPCR_ILE);
    this.cpu = {
      setAil: (on) => {
        const lpcr = vcpu.getOneReg(KVM_REG_PPC_LPCR_64) & ~LPCR_AIL;
        vcpu.setOneReg(KVM_REG_PPC_LPCR_64, on ? lpcr | LPCR_AIL_3 : lpcr);
      },
      setProcessTable: (base, sizeLog2) => this.vm.configureRadix(BigInt(base), Math.max(sizeLog2, 12)),
      // Configuring the MMU drops what was cached.
      flushTlb: () => {},
      cede: () => {
        const regs = vcpu.getRegs();
        vcpu.setRegs({ ...regs, msr: regs.msr | MSR_EE });
      },
      setExternalInterrupt: (level) => {
        if (this.open) vcpu.setExternalInterrupt(level);
      },
    };
  }

  get instructions(): number {
    if (this.open) this.lastCount = Number(this.vcpu.getOneReg(KVM_REG_PPC_IC));
    return this.lastCount;
  }

  counters(): Readonly<Record<string, unknown>> {
    if (this.open) this.lastStatistics = this.vcpu.statistics();
    return { ...this.lastStatistics };
  }

  kernelHypercalls(): KernelHypercalls {
    if (this.open) this.lastKernel = hypercallsByStage(this.vcpu.statistics());
    return this.lastKernel;
  }

  timeOfDay(): number {
    return Date.now();
  }

  enter(entry: number, argument: number): void {
    const gpr = new Array<bigint>(32).fill(0n);
    gpr[R3] = BigInt(argument);
    this.vcpu.setRegs({ gpr, msr: MSR_SF_LE, pc: BigInt(entry) });
  }

  async run(machine: AccelMachine, onPause: () => void): Promise<RunEnd> {
    for (;;) {
      const end = this.stopping ? { reason: "stopped" as const } : this.burst(machine);
      onPause();
      if (end !== undefined) return end;
      await this.pause();
    }
  }

  /** Runs until a signal interrupts the guest (undefined), or its end. */
  private burst(machine: AccelMachine): RunEnd | undefined {
    const { vcpu } = this;
    for (;;) {
      const reason = vcpu.run();
      switch (reason) {
        case KVM_EXIT_PAPR_HCALL:
          this.hypercall(machine);
          if (machine.stopRequest !== undefined) return { reason: machine.stopRequest };
          break;
        case KVM_EXIT_MMIO:
          this.exits.mmio++;
          this.mmio(machine);
          break;
        case -EINTR:
          return undefined;
        case KVM_EXIT_INTERNAL_ERROR:
          return { reason: "halt", message: `KVM cannot go on with the guest (error ${vcpu.internalError()})` };
        default:
          return { reason: "halt", message: `KVM came back for reason ${reason}, which this machine does not know` };
      }
    }
  }

  private hypercall(machine: AccelMachine): void {
    const registers = this.vcpu.hypercall();
    if (small(registers, R3) === H_RTAS) {
      this.exits.rtas++;
      const status = machine.rtas.dispatch(small(registers, R4));
      put(registers, R3, status < 0 ? 0xffff_ffff : 0, status >>> 0);
    } else {
      this.exits.hypercall++;
      machine.hcalls.dispatch(registers);
    }
  }

  private mmio(machine: AccelMachine): void {
    const words = this.vcpu.mmioWords();
    const address = words[1]! * TWO32 + words[0]!;
    const size = words[4] as 1 | 2 | 4 | 8;
    if ((words[5]! & 0xff) !== 0) {
      machine.mmioWrite(address, size, words[2]!, words[3]!);
    } else {
      machine.mmioRead(address, size, this.halves);
      words[2] = this.halves[0]!;
      words[3] = this.halves[1]!;
    }
  }

  /** Gives the event loop its turn, and waits while the guest sleeps where the kernel leaves that to us. */
  private async pause(): Promise<void> {
    const since = performance.now();
    let runnable = false;
    const watch = this.watchRunnable(() => {
      runnable = true;
      this.wakeSleeper?.();
    });
    // What could go on at once has been told when this comes back.
    await Promise.resolve();
    const slept = watch !== undefined && !runnable;
    // Whatever is ready on the host (a disk that finished, a key) comes before the guest's timer.
    await eventLoopTurn();
    if (slept && !runnable && !this.stopping) await this.sleep();
    watch?.close();
    if (slept) {
      this.exits.idle++;
      this.idleMs += performance.now() - since;
    } else {
      this.exits.slice++;
    }
  }

  /** Undefined where the kernel sleeps by itself: its vCPUs cannot be watched. */
  private watchRunnable(onRunnable: () => void): { close(): void } | undefined {
    try {
      return this.host.watch(this.vcpu.fd, onRunnable);
    } catch {
      return undefined;
    }
  }

  private sleep(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wakeSleeper?.(), SLEEP_MAX_MS);
      this.wakeSleeper = () => {
        clearTimeout(timer);
        this.wakeSleeper = undefined;
        resolve();
      };
    });
  }

  stop(): void {
    this.stopping = true;
    this.wakeSleeper?.();
  }

  close(): void {
    if (!this.open) return;
    this.stop();
    this.counters();
    this.kernelHypercalls();
    this.lastCount = this.instructions;
    this.open = false;
    this.vcpu.close();
    this.tce.close();
    this.vm.close();
    this.firmware.close();
    this.system.close();
  }
}

function allocateRam(ramBytes: number): GuestMemory {
  try {
    const { memory, ramOffset } = allocateGuestRam({ ramBytes, framePages: FRAME_PAGES });
    return new GuestMemory(memory.buffer, ramOffset, ramBytes);
  } catch (cause) {
    throw noRoom(ramBytes, cause);
  }
}

/** A page of its own for the code at the RTAS entry, which lies outside of RAM. */
function firmwarePage(host: Host): Mapping {
  const page = host.mmap({ length: host.pageSize, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  if (typeof page === "number" || !page.bytes) {
    throw new VmmError("there is no memory for the firmware page", { code: "KVM_SETUP", errno: -Number(page) });
  }
  page.bytes.set(rtasFirmware());
  return page;
}

/** The kernel counts hypercalls as "hcall_virtual_0x20". */
function hypercallsByStage(statistics: Readonly<Record<string, number>>): KernelHypercalls {
  const realMode = new Map<number, number>();
  const virtualMode = new Map<number, number>();
  for (const [name, count] of Object.entries(statistics)) {
    const [, stage, number] = /^hcall_(real|virtual)_(0x[0-9a-f]+)$/.exec(name) ?? [];
    if (number !== undefined) (stage === "real" ? realMode : virtualMode).set(Number(number), count);
  }
  return { realMode, virtualMode };
}
