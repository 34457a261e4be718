// A VM of the modelled kernel: what its descriptor answers, and the counts that devices keep on it.
// Source: virt/kvm/kvm_main.c (kvm_vm_ioctl), arch/x86/kvm/x86.c (non-coherent DMA, assigned devices).
// Invariants: the VM belongs to the address space that created it, others get -EIO; its parts go when the last
// reference (descriptor or in-kernel device) is put.

import { EFAULT, EINVAL, EIO, ENOTTY, O_RDWR } from "@minivmm/host";
import { type FileOps, type IoctlCall, type ModelProcess, OpenFile } from "@minivmm/host/model";
import { kvm_enable_cap, kvm_ioeventfd, kvm_irqfd, kvm_userspace_memory_region, kvmRequests } from "../uapi.ts";
import { createDevice } from "./device.ts";
import type { KvmFrame, Vm } from "./frame.ts";
import { H_TOO_HARD, Hypercalls } from "./hypercalls.ts";
import { InterruptInputs, type InterruptSink, RESAMPLE_SOURCE, SILENT } from "./interrupts.ts";
import { IoEventFds } from "./ioeventfd.ts";
import { IrqFds } from "./irqfd.ts";
import { MemorySlots } from "./slots.ts";
import { X86Vm } from "./x86-vm.ts";

export class ModelVm implements FileOps, Vm {
  readonly kind = "kvm-vm";
  readonly kvm: KvmFrame;
  readonly process: ModelProcess;
  readonly file: OpenFile;
  readonly slots: MemorySlots;
  readonly irqfds: IrqFds;
  readonly ioeventfds: IoEventFds = new IoEventFds();
  readonly hypercalls: Hypercalls;
  interrupts: InterruptSink = SILENT;
  noncoherentDmaCount = 0;
  assignedDeviceCount = 0;
  /** What x86 has beyond the common requests; null on other architectures. */
  readonly x86: X86Vm | null;
  readonly #endings = new Set<() => void>();

  constructor(kvm: KvmFrame, process: ModelProcess) {
    this.kvm = kvm;
    this.process = process;
    this.slots = new MemorySlots(kvm.kernel.pageSize, kvm.kernel.arch === "x86_64");
    const sink = (): InterruptSink => this.interrupts;
    const inputs = new InterruptInputs(sink);
    this.irqfds = new IrqFds({
      pulse: (gsi) => inputs.pulse(gsi),
      level: (gsi, high) => inputs.setLevel(gsi, RESAMPLE_SOURCE, high),
    });
    this.x86 = kvm.kernel.arch === "x86_64" ? new X86Vm(inputs, sink) : null;
    this.hypercalls = new Hypercalls(this, kvm.hypercalls);
    this.file = new OpenFile(this, O_RDWR);
  }

  ioctl(call: IoctlCall): number {
    if (call.process.mm !== this.process.mm) return -EIO;
    const requests = kvmRequests(this.kvm.kernel.arch);
    switch (call.request) {
      case requests.KVM_CHECK_EXTENSION:
        return this.kvm.capability(call.arg.number);
      case requests.KVM_CREATE_VCPU:
        // Without a CPU to run guests on KVM_CAP_MAX_VCPUS is 0, so every id is beyond the limit.
        return this.kvm.vmIoctls.get(call.request)?.(this, call) ?? -EINVAL;
      case requests.KVM_SET_USER_MEMORY_REGION: {
        const view = call.arg.view(kvm_userspace_memory_region.size, "r");
        return view ? this.slots.set(kvm_userspace_memory_region.read(view, 0)) : -EFAULT;
      }
      case requests.KVM_IRQFD: {
        const view = call.arg.view(kvm_irqfd.size, "r");
        return view ? this.irqfds.set(call.process, kvm_irqfd.read(view, 0), this.x86?.irqchip ?? false) : -EFAULT;
      }
      case requests.KVM_IOEVENTFD: {
        const view = call.arg.view(kvm_ioeventfd.size, "r");
        return view ? this.ioeventfds.set(call.process, kvm_ioeventfd.read(view, 0)) : -EFAULT;
      }
      case requests.KVM_CREATE_DEVICE:
        return createDevice(call, this, this.kvm.deviceTypes);
      case requests.KVM_ENABLE_CAP: {
        const view = call.arg.view(kvm_enable_cap.size, "r");
        return view ? this.kvm.enableCap(this, kvm_enable_cap.read(view, 0)) : -EFAULT;
      }
      default:
        return this.x86?.ioctl(call) ?? this.kvm.vmIoctls.get(call.request)?.(this, call) ?? -ENOTTY;
    }
  }

  /** A hypercall as the guest's registers would have it, for those who have no guest: the result and r4 to r12. */
  hypercall(nr: number, ...args: (bigint | number)[]): { result: number; values: bigint[] } {
    const registers = new BigUint64Array(32);
    registers.set([BigInt(nr), ...args.map(BigInt)], 3);
    const realMode = this.kvm.realMode?.(this);
    realMode?.prepare();
    let result = realMode?.call(registers) ?? H_TOO_HARD;
    if (result === H_TOO_HARD) result = this.hypercalls.call(new Uint32Array(registers.buffer));
    return { result, values: [...registers.subarray(4, 13)] };
  }

  onRelease(end: () => void): void {
    this.#endings.add(end);
  }

  release(): void {
    for (const end of this.#endings) end();
    this.irqfds.close();
    this.ioeventfds.close();
    this.kvm.released(this);
  }
}
