// The VM of machine pc in KVM: RAM slots, interrupt controllers and interval timer in the kernel, routes, vCPUs.
// Source: Documentation/virt/kvm/api.rst; the order of QEMU 7.2 (kvm_init, kvm_arch_init, pc machine).
// Order that KVM wants: TSS and identity map, interrupt controllers, timer, then vCPUs.
// Invariant: close() gives back everything, whatever has been made until then.
import type { Host } from "@minivmm/host";
import {
  KVM_CAP_IMMEDIATE_EXIT,
  KVM_CAP_IRQCHIP,
  KVM_CAP_IRQFD,
  KVM_CAP_MAX_VCPUS,
  KVM_CAP_PIT2,
  KVM_CAP_SIGNAL_MSI,
  KVM_CAP_USER_MEMORY,
  KvmError,
  KvmSystem,
  type KvmVcpu,
  type KvmVm,
} from "@minivmm/kvm";
import { VmmError } from "../../errors.ts";
import { GsiRoutes } from "../../machines/pc/gsi-routes.ts";
import { KVM_IDENTITY_MAP, KVM_TSS } from "../../machines/pc/memory-map.ts";
import type { PcRam } from "../../machines/pc/ram.ts";
import type { DeviceMemorySlots } from "../../pci/mapped-bars.ts";

const NEEDED = [
  [KVM_CAP_USER_MEMORY, "memory slots"],
  [KVM_CAP_IRQCHIP, "interrupt controllers"],
  [KVM_CAP_PIT2, "an interval timer"],
  [KVM_CAP_IRQFD, "interrupts by eventfd"],
  [KVM_CAP_SIGNAL_MSI, "message interrupts"],
] as const;
const NEEDED_TO_RUN = [
  [KVM_CAP_MAX_VCPUS, "virtual CPUs"],
  [KVM_CAP_IMMEDIATE_EXIT, "a way to stop a virtual CPU"],
] as const;

/** Opens the host's KVM for x86 guests. Throws VmmError USAGE_ACCEL with what is missing and what to do. */
export function openPcKvm(host: Host): KvmSystem {
  if (host.arch !== "x86_64") {
    throw new VmmError(`machine pc needs an x86-64 kernel below it, and ${host.name} is ${host.arch}`, {
      code: "USAGE_ACCEL",
      details: { arch: host.arch },
      hint: "run it on an x86-64 machine; machine pseries has a CPU in software",
    });
  }
  let system: KvmSystem;
  try {
    system = KvmSystem.open(host);
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new VmmError(`machine pc runs in KVM only, and it cannot be had: ${error.message}`, {
      code: "USAGE_ACCEL",
      ...(error.errno === undefined ? {} : { errno: error.errno }),
      hint: error.hint ?? "machine pseries has a CPU in software",
      cause: error,
    });
  }
  try {
    demand(system, NEEDED);
    return system;
  } catch (error) {
    system.close();
    throw error;
  }
}

function demand(system: KvmSystem, needed: readonly (readonly [capability: number, what: string])[]): void {
  const lack = needed.find(([capability]) => system.checkExtension(capability) <= 0);
  if (lack === undefined) return;
  throw new VmmError(`the KVM of ${system.host.name} has no ${lack[1]}`, {
    code: "USAGE_ACCEL",
    details: { capability: lack[0] },
    hint: "a kernel of the last ten years has all that machine pc needs",
  });
}

function createVm(system: KvmSystem): KvmVm {
  try {
    return system.createVm();
  } catch (error) {
    system.close();
    throw error;
  }
}

export class PcKvm implements DeviceMemorySlots {
  readonly host: Host;
  readonly system: KvmSystem;
  readonly vm: KvmVm;
  readonly routes: GsiRoutes;
  readonly pageSize: number;
  readonly vcpus: KvmVcpu[] = [];
  private readonly free: number[] = [];
  private nextSlot = 0;

  /** Takes over `system`. Throws KvmError, with everything given back. */
  constructor(host: Host, system: KvmSystem, ram: PcRam) {
    this.host = host;
    this.system = system;
    this.pageSize = host.pageSize;
    this.vm = createVm(system);
    this.routes = new GsiRoutes(this.vm);
    try {
      this.vm.setTssAddress(KVM_TSS);
      this.vm.setIdentityMapAddress(KVM_IDENTITY_MAP);
      this.vm.createIrqchip();
      this.vm.createPit2();
      this.routes.commit();
      for (const { start, memory } of ram.pieces) this.add(start, memory.u8);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The vCPUs 0 to `count` - 1. Throws VmmError USAGE_ACCEL where KVM cannot run any, or not so many. */
  createVcpus(count: number): void {
    demand(this.system, NEEDED_TO_RUN);
    const most = this.system.checkExtension(KVM_CAP_MAX_VCPUS);
    if (count > most) {
      throw new VmmError(`the KVM of ${this.host.name} runs at most ${most} virtual CPUs in a VM, not ${count}`, {
        code: "USAGE_ACCEL",
        details: { count, most },
        hint: "give the machine fewer CPUs (-smp)",
      });
    }
    for (let id = 0; id < count; id++) this.vcpus.push(this.vm.createVcpu(id));
  }

  add(guestAddress: number, memory: Uint8Array): number {
    const slot = this.free.pop() ?? this.nextSlot++;
    try {
      this.vm.setMemoryRegion({ slot, guestAddress: BigInt(guestAddress), memory });
    } catch (error) {
      this.free.push(slot);
      throw error;
    }
    return slot;
  }

  remove(slot: number, guestAddress: number): void {
    this.vm.setMemoryRegion({ slot, guestAddress: BigInt(guestAddress) });
    this.free.push(slot);
  }

  close(): void {
    for (const vcpu of this.vcpus.splice(0)) vcpu.close();
    this.vm.close();
    this.system.close();
  }
}
