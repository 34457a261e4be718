// What KVM is told of a VM's passed-through devices: the files of their groups, or of the devices themselves, through the
// KVM-VFIO device. KVM learns from it whether their DMA snoops, and drivers which VM they serve.
// Source: Documentation/virt/kvm/devices/vfio.rst.
// Invariants: a file is told before devices are opened through it and taken back after they are closed; a kernel without
// the device, or one that does not take a file, costs nothing but these two services, and is reported.

import { KVM_DEV_TYPE_VFIO, type KvmVm } from "@minivmm/kvm";
import { KvmVfioDevice } from "@minivmm/kvm-device";

export class KvmGroups {
  /** What KVM did not take, in words. */
  readonly problems: string[] = [];
  private readonly device: KvmVfioDevice | undefined;
  private readonly files: number[] = [];

  constructor(vm: KvmVm) {
    this.device = vm.supportsDevice(KVM_DEV_TYPE_VFIO) ? KvmVfioDevice.create(vm) : undefined;
  }

  /** Files that KVM knows. */
  get count(): number {
    return this.files.length;
  }

  add(fd: number): void {
    if (this.device === undefined) return;
    try {
      this.device.add(fd);
      this.files.push(fd);
    } catch (error) {
      this.problems.push(error instanceof Error ? error.message : String(error));
    }
  }

  remove(fd: number): void {
    const index = this.files.indexOf(fd);
    if (index < 0) return;
    this.files.splice(index, 1);
    try {
      this.device?.remove(fd);
    } catch {
      // It goes with the VM.
    }
  }

  close(): void {
    for (const fd of [...this.files].reverse()) this.remove(fd);
    this.device?.close();
  }
}
