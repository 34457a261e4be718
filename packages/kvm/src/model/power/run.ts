// KVM_RUN: runs the guest until user space is needed.
// Source: arch/powerpc/kvm/powerpc.c (kvm_arch_vcpu_ioctl_run), book3s_hv.c (kvmppc_vcpu_run_hv, kvmhv_run_single_vcpu,
// kvmhv_p9_guest_entry). Hypercalls pass three stages: inside the engine, the VM's table, user space.
// A modelled kernel has one thread and cannot sleep. Where a real one puts the vCPU to sleep (H_CEDE with nothing pending),
// KVM_RUN returns EINTR as if a signal had come, and the descriptor is readable when it is worth calling again; the
// same happens after a slice of instructions, so that the caller's event loop has its turn.

import { EFAULT, EINTR, EINVAL } from "@minivmm/host";
import { KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_INTERNAL_ERROR_EMULATION } from "../../uapi.ts";
import { H_CEDE, H_SUCCESS } from "../../uapi-papr.ts";
import { H_TOO_HARD } from "../hypercalls.ts";
import { EngineExit, type PowerCpu } from "./engine.ts";
import type { PowerVcpuFrame } from "./frame.ts";
import { beyondTable } from "./papr.ts";

/** Instructions until a signal interrupts the guest: a few milliseconds. */
const SLICE = 1_000_000;
/** Runs in a row, none of them interrupted, that go on with the time as it was. */
const RUNS_WITHOUT_SYNC = 64;
const R3 = 6;

/** What user space owes before the guest goes on. */
type Pending = "nothing" | "hypercall" | "load";

export class VcpuRun {
  prodded = false;
  readonly #vcpu: PowerVcpuFrame;
  readonly #watchers = new Set<() => void>();
  #pending: Pending = "nothing";
  #loadAt = 0n;
  #asleep = false;
  #signalAt = SLICE;
  #untilSync = 0;
  #timer: { cancel(): void } | null = null;

  constructor(vcpu: PowerVcpuFrame) {
    this.#vcpu = vcpu;
  }

  run(): number {
    const vcpu = this.#vcpu;
    const { page, power } = vcpu;
    // What was asked for belongs to the memory slots as they were.
    this.#complete(vcpu.cpu);
    const cpu = vcpu.ready();
    if (page.immediateExit) return -EINTR;
    if (!vcpu.papr) {
      page.exitReason = KVM_EXIT_INTERNAL_ERROR;
      return -EINVAL;
    }
    vcpu.online ||= 1;
    this.#asleep = false;
    vcpu.areas.update();
    // Asking for the time costs as much as a short KVM_RUN: in a burst of them it is asked now and then.
    if (this.#untilSync-- <= 0) {
      this.#untilSync = RUNS_WITHOUT_SYNC;
      vcpu.clock.sync(cpu);
    }
    const outer = power.running;
    power.running = vcpu;
    try {
      return this.#guest(cpu);
    } finally {
      power.running = outer;
    }
  }

  /** What user space was asked for at the last exit. */
  #complete(cpu: PowerCpu): void {
    const { page } = this.#vcpu;
    if (this.#pending === "hypercall") {
      page.takeHypercall(cpu.gpr32);
    } else if (this.#pending === "load" && cpu.pc === this.#loadAt) {
      cpu.completeMmio(page.mmioLow, page.mmioHigh);
      cpu.finishMmio();
      cpu.syncPages();
    }
    this.#pending = "nothing";
  }

  #guest(cpu: PowerCpu): number {
    const { counters, areas } = this.#vcpu;
    for (;;) {
      const left = this.#signalAt - cpu.retired;
      if (left <= 0) {
        this.#signalAt = cpu.retired + SLICE;
        return this.#interrupted();
      }
      areas.dispatch();
      const reason = cpu.run(left);
      // Nobody else may look at memory while the engine has copies of it.
      cpu.syncPages();
      areas.dispatch();
      counters.sumExits++;
      switch (reason) {
        case EngineExit.hypercall: {
          const result = this.#hypercall(cpu);
          if (result !== null) return result;
          break;
        }
        case EngineExit.device: {
          const result = this.#device(cpu);
          if (result !== null) return result;
          break;
        }
        case EngineExit.halt:
          return this.#cannotGoOn(cpu.exit.message);
      }
    }
  }

  /** Null: answered, the guest goes on. */
  #hypercall(cpu: PowerCpu): number | null {
    const vcpu = this.#vcpu;
    const { counters } = vcpu;
    const gpr = cpu.gpr32;
    const nr = gpr[R3 + 1] === 0 ? (gpr[R3] as number) : -1;
    if (nr === H_CEDE) return this.#cede(cpu);
    let code = vcpu.power.vm.hypercalls.call(gpr);
    if (code === H_TOO_HARD) code = beyondTable(nr);
    if (code === H_TOO_HARD) {
      counters.countNumber("user", nr);
      vcpu.page.putHypercall(gpr);
      this.#pending = "hypercall";
      return 0;
    }
    counters.countNumber("virtual", nr);
    gpr[R3] = code;
    gpr[R3 + 1] = code < 0 ? 0xffff_ffff : 0;
    return null;
  }

  #cede(cpu: PowerCpu): number | null {
    this.#vcpu.counters.countNumber("virtual", H_CEDE);
    cpu.setMsrEE();
    cpu.gpr32[R3] = H_SUCCESS;
    cpu.gpr32[R3 + 1] = 0;
    this.#vcpu.clock.sync(cpu);
    if (this.prodded || cpu.interruptDeliverable()) {
      this.prodded = false;
      return null;
    }
    this.#vcpu.counters.haltWaits++;
    this.#asleep = true;
    return this.#interrupted();
  }

  #interrupted(): number {
    this.#untilSync = 0;
    this.#vcpu.counters.signalExits++;
    this.#vcpu.page.exitReason = KVM_EXIT_INTR;
    return -EINTR;
  }

  /** An access outside of the slots, or inside one whose memory the process has taken away. */
  #device(cpu: PowerCpu): number | null {
    const vcpu = this.#vcpu;
    const { vm } = vcpu.power;
    const { exit } = cpu;
    if (vm.slots.userAddressOf(exit.gpa) >= 0) return -EFAULT;
    if (exit.write && vm.ioeventfds.size > 0) {
      const value = (BigInt(exit.hi) << 32n) | BigInt(exit.lo);
      if (vm.ioeventfds.write(false, BigInt(exit.gpa), exit.size, value)) {
        cpu.completeMmio(0, 0);
        cpu.finishMmio();
        return null;
      }
    }
    vcpu.counters.mmioExits++;
    vcpu.page.putMmio(exit);
    if (exit.write) {
      // A store is done when it is handed over; a load waits for its value.
      cpu.completeMmio(0, 0);
      cpu.finishMmio();
    } else {
      this.#pending = "load";
      this.#loadAt = cpu.pc;
    }
    return 0;
  }

  #cannotGoOn(message: string): number {
    const { page, power } = this.#vcpu;
    power.vm.process.kernel.log.push(`kvm: vCPU ${this.#vcpu.id}: ${message}`);
    page.putInternalError(KVM_INTERNAL_ERROR_EMULATION);
    return 0;
  }

  get runnable(): boolean {
    if (!this.#asleep) return true;
    const { cpu, clock } = this.#vcpu;
    clock.sync(cpu);
    return this.prodded || cpu.interruptDeliverable();
  }

  watch(onRunnable: () => void): { close(): void } {
    const entry = (): void => onRunnable();
    this.#watchers.add(entry);
    this.#arm();
    return {
      close: () => {
        this.#watchers.delete(entry);
        if (this.#watchers.size === 0) this.close();
      },
    };
  }

  /** Something may have ended the sleep. */
  wake(): void {
    if (this.#watchers.size === 0 || !this.#asleep) return;
    if (this.runnable) for (const watcher of [...this.#watchers]) watcher();
    else this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(): void {
    this.close();
    if (!this.#asleep || this.#watchers.size === 0) return;
    const { cpu, clock } = this.#vcpu;
    clock.sync(cpu);
    this.#timer = clock.whenDue(cpu, () => this.wake());
  }
}
