// A POWER vCPU of the modelled KVM: its descriptor's requests and its registers. Running the guest is run.ts.
// Source: virt/kvm/kvm_main.c (kvm_vcpu_ioctl), arch/powerpc/kvm/powerpc.c, book3s_hv.c (kvmppc_core_vcpu_create_hv).
// Invariants: HV KVM runs PAPR guests only (KVM_CAP_PPC_PAPR is enabled first); while KVM_RUN is in progress every request
// but KVM_INTERRUPT is turned away with EINTR, as a signal would end its wait for the vCPU's lock.

import { EFAULT, EINTR, EINVAL, EIO, EOPNOTSUPP, O_RDWR, type StructValue } from "@minivmm/host";
import { type FileOps, type IoctlCall, type MmapCall, mapBytes, OpenFile } from "@minivmm/host/model";
import { KVM_CAP_PPC_PAPR, KVMIO, type KvmRequests, kvm_enable_cap, kvm_one_reg, kvmRequests } from "../../uapi.ts";
import {
  KVM_INTERRUPT_SET,
  KVM_INTERRUPT_UNSET,
  kvm_interrupt,
  kvm_power_regs,
  kvm_power_sregs,
  LPCR_AIL,
  LPCR_AIL_3,
  registerBytes,
} from "../../uapi-power.ts";
import type { RealMode } from "../real-mode.ts";
import { statsFile } from "../stats.ts";
import { VcpuCounters } from "./counters.ts";
import type { PowerCpu, PowerEngine, PowerEngineFactory } from "./engine.ts";
import type { PowerVcpuFrame } from "./frame.ts";
import { GuestClock } from "./guest-clock.ts";
import { getOneReg, setOneReg } from "./one-reg.ts";
import { guestMsr, readRegs, readSregs, writeRegs, writeSregs } from "./regs.ts";
import { VcpuRun } from "./run.ts";
import { RunPage } from "./run-page.ts";
import type { PowerVm } from "./vm.ts";
import { VirtualProcessorAreas } from "./vpa.ts";

export class PowerVcpu implements FileOps, PowerVcpuFrame {
  readonly kind = "kvm-vcpu";
  readonly id: number;
  readonly power: PowerVm;
  readonly file: OpenFile;
  readonly page: RunPage;
  readonly clock: GuestClock;
  readonly areas: VirtualProcessorAreas;
  readonly counters = new VcpuCounters();
  readonly stored = new Map<bigint, bigint>();
  lpcr: bigint;
  papr = false;
  online = 0;
  retiredBefore = 0n;
  readonly #factory: PowerEngineFactory;
  readonly #requests: KvmRequests;
  readonly #realMode: RealMode | null;
  readonly #run: VcpuRun;
  readonly #sprg = new Array<bigint>(8).fill(0n);
  readonly #slb: StructValue<typeof kvm_power_sregs>["slb"] = [];
  #engine: PowerEngine | null = null;
  #slotsSeen = -1;

  constructor(power: PowerVm, id: number, factory: PowerEngineFactory, realMode: RealMode | null) {
    const { kernel } = power.vm.process;
    this.power = power;
    this.id = id;
    this.lpcr = power.lpcr;
    this.page = new RunPage(kernel.pageSize);
    this.clock = new GuestClock(kernel.clock);
    this.areas = new VirtualProcessorAreas(power.vm);
    this.#factory = factory;
    this.#realMode = realMode;
    this.#requests = kvmRequests(kernel.arch);
    this.#run = new VcpuRun(this);
    this.file = new OpenFile(this, O_RDWR);
    power.vm.file.get();
  }

  /** Made when it is first needed, so that it can be made for the memory that the VM has by then. */
  get cpu(): PowerCpu {
    return (this.#engine ?? this.#makeEngine()).cpu;
  }

  #makeEngine(): PowerEngine {
    const engine = this.#factory(this.power.vm);
    this.#engine = engine;
    engine.cpu.msr = guestMsr(0n);
    this.useProcessTable();
    this.setLpcr(this.lpcr);
    const { compiled } = engine.cpu;
    if (compiled && this.#realMode) this.counters.realMode = this.#realMode.enter(compiled);
    return engine;
  }

  useProcessTable(): void {
    const table = this.power.processTableAt;
    if (table) this.#engine?.cpu.setProcessTable(table.base, table.sizeLog2);
  }

  ready(): PowerCpu {
    const { cpu } = this;
    const { version } = this.power.vm.slots;
    if (this.#slotsSeen !== version) {
      this.#slotsSeen = version;
      this.#engine?.memoryChanged();
    }
    this.#realMode?.prepare();
    return cpu;
  }

  setLpcr(lpcr: bigint): number {
    this.lpcr = lpcr;
    this.#engine?.cpu.setAil((lpcr & LPCR_AIL) === LPCR_AIL_3);
    return 0;
  }

  store(id: bigint, value: bigint): number {
    this.stored.set(id, value);
    return 0;
  }

  prod(): void {
    this.#run.prodded = true;
    this.#run.wake();
  }

  ioctl(call: IoctlCall): number {
    if (call.process.mm !== this.power.vm.process.mm) return -EIO;
    if (((call.request >>> 8) & 0xff) !== KVMIO) return -EINVAL;
    const requests = this.#requests;
    if (call.request === requests.KVM_INTERRUPT) return this.#interrupt(call);
    if (this.power.running === this) return -EINTR;
    switch (call.request) {
      case requests.KVM_RUN:
        return call.arg.number === 0 ? this.#run.run() : -EINVAL;
      case requests.KVM_GET_REGS:
        call.arg.copyOut(kvm_power_regs.encode(readRegs(this.cpu, this.#sprg)));
        return 0;
      case requests.KVM_SET_REGS:
        writeRegs(this.cpu, this.#sprg, kvm_power_regs.decode(call.arg.copyIn(kvm_power_regs.size)));
        return 0;
      case requests.KVM_GET_SREGS:
        call.arg.copyOut(kvm_power_sregs.encode(readSregs(this.cpu, this.#slb)));
        return 0;
      case requests.KVM_SET_SREGS:
        return writeSregs(this.cpu, this.#slb, kvm_power_sregs.decode(call.arg.copyIn(kvm_power_sregs.size)));
      case requests.KVM_GET_FPU:
      case requests.KVM_SET_FPU:
        return -EOPNOTSUPP;
      case requests.KVM_GET_ONE_REG:
        return this.#getOneReg(call);
      case requests.KVM_SET_ONE_REG:
        return this.#setOneReg(call);
      case requests.KVM_ENABLE_CAP:
        return this.#enableCap(call);
      case requests.KVM_GET_STATS_FD:
        return call.process.install(
          statsFile({ id: `kvm-vcpu-${this.id}`, values: () => this.counters.values(), file: this.power.vm.file }),
        );
      default:
        return -EINVAL;
    }
  }

  #interrupt(call: IoctlCall): number {
    const view = call.arg.view(kvm_interrupt.size, "r");
    if (!view) return -EFAULT;
    const irq = view.getUint32(0, true);
    this.cpu.setExternalInterrupt(irq !== KVM_INTERRUPT_UNSET, irq === KVM_INTERRUPT_SET);
    if (irq !== KVM_INTERRUPT_UNSET) this.#run.wake();
    return 0;
  }

  #enableCap(call: IoctlCall): number {
    const { cap, flags } = kvm_enable_cap.decode(call.arg.copyIn(kvm_enable_cap.size));
    if (flags !== 0 || cap !== KVM_CAP_PPC_PAPR) return -EINVAL;
    this.papr = true;
    return 0;
  }

  #getOneReg(call: IoctlCall): number {
    const { id, addr } = kvm_one_reg.decode(call.arg.copyIn(kvm_one_reg.size));
    const value = getOneReg(this, id);
    if (typeof value === "number") return value;
    call.arg.at(addr).copyOut(toBytes(value, registerBytes(id)));
    return 0;
  }

  #setOneReg(call: IoctlCall): number {
    const { id, addr } = kvm_one_reg.decode(call.arg.copyIn(kvm_one_reg.size));
    const size = registerBytes(id);
    if (size > 16) return -EINVAL;
    return setOneReg(this, id, fromBytes(call.arg.at(addr).copyIn(size)));
  }

  /** The run page, from the start of the file. */
  mmap(call: MmapCall): ReturnType<typeof mapBytes> {
    const { bytes } = this.page;
    if (call.offset !== 0 || call.length > bytes.length) return -EINVAL;
    return mapBytes(call, bytes);
  }

  /** Whether KVM_RUN would go on with the guest: false while it sleeps in H_CEDE. */
  poll(): boolean {
    return this.#run.runnable;
  }

  watch(onRunnable: () => void): { close(): void } {
    return this.#run.watch(onRunnable);
  }

  /** The last descriptor is gone; the vCPU lives on as long as its VM does. */
  release(): void {
    this.#run.close();
    this.power.vm.file.put();
  }

  destroy(): void {
    this.#run.close();
    this.#engine?.release();
    this.#engine = null;
  }
}

function toBytes(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
}

function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
