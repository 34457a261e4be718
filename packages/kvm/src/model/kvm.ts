// The modelled /dev/kvm: versions, capabilities, VMs, and the hooks through which other packages add device types and
// VM requests (the KVM-VFIO device, sPAPR TCE tables).
// Source: virt/kvm/kvm_main.c (kvm_dev_ioctl).

import { EINVAL, ENOTTY, type StructValue } from "@minivmm/host";
import type { FileOps, IoctlCall, ModelKernel } from "@minivmm/host/model";
import { KVM_API_VERSION, KVM_CAP_PPC_ENABLE_HCALL, type kvm_enable_cap, kvmRequests } from "../uapi.ts";
import { baseCapabilities } from "./capabilities.ts";
import type { CapabilityEnabler, Hypercall, KvmDeviceType, KvmFrame, Vm, VmIoctl } from "./frame.ts";
import type { RealMode } from "./real-mode.ts";
import { ModelVm } from "./vm.ts";

/** Machine types that KVM_CREATE_VM takes: x86 has the default only, powerpc also HV (1) and PR (2). */
const VM_TYPES: Record<ModelKernel["arch"], readonly number[]> = { x86_64: [0], ppc64le: [0, 1] };

export class ModelKvm implements KvmFrame {
  readonly kernel: ModelKernel;
  readonly capabilities: Map<number, number>;
  readonly deviceTypes = new Map<number, KvmDeviceType>();
  readonly vmIoctls = new Map<number, VmIoctl>();
  readonly enablers = new Map<number, CapabilityEnabler>();
  /** Filled while the host is composed; a VM takes over what is there when it is made. */
  readonly hypercalls = new Map<number, Hypercall>();
  realMode: ((vm: Vm) => RealMode | null) | null = null;
  readonly #vms = new Set<ModelVm>();
  readonly #node: { remove(): void };

  /** Adds /dev/kvm to the kernel. */
  constructor(kernel: ModelKernel) {
    this.kernel = kernel;
    this.capabilities = baseCapabilities(kernel);
    if (kernel.arch === "ppc64le") {
      this.enablers.set(KVM_CAP_PPC_ENABLE_HCALL, (vm, { args: [nr = 0n, on = 0n] }) => vm.hypercalls.enable(nr, on));
    }
    this.#node = kernel.registerNode("/dev/kvm", () => this.#systemFile(), 0o666);
  }

  /** VMs that something still refers to. */
  get vms(): ReadonlySet<ModelVm> {
    return this.#vms;
  }

  capability(id: number): number {
    return this.capabilities.get(id) ?? 0;
  }

  enableCap(vm: Vm, request: StructValue<typeof kvm_enable_cap>): number {
    if (request.flags !== 0) return -EINVAL;
    return this.enablers.get(request.cap)?.(vm, request) ?? -EINVAL;
  }

  released(vm: Vm): void {
    for (const each of this.#vms) if (each === vm) this.#vms.delete(each);
  }

  /** Takes /dev/kvm away; open descriptors go on. */
  close(): void {
    this.#node.remove();
  }

  #systemFile(): FileOps {
    const requests = kvmRequests(this.kernel.arch);
    return {
      kind: "kvm",
      ioctl: (call) => {
        switch (call.request) {
          case requests.KVM_GET_API_VERSION:
            return call.arg.number === 0 ? KVM_API_VERSION : -EINVAL;
          case requests.KVM_CREATE_VM:
            return this.#createVm(call);
          case requests.KVM_CHECK_EXTENSION:
            return this.capability(call.arg.number);
          case requests.KVM_GET_VCPU_MMAP_SIZE:
            return call.arg.number === 0 ? this.kernel.pageSize : -EINVAL;
          default:
            return -ENOTTY;
        }
      },
    };
  }

  #createVm(call: IoctlCall): number {
    if (!VM_TYPES[this.kernel.arch].includes(call.arg.number)) return -EINVAL;
    const vm = new ModelVm(this, call.process);
    this.#vms.add(vm);
    return call.process.install(vm.file);
  }
}
