// The client: one KVM-VFIO device of a VM, told about the groups whose devices the VM uses.
// Source: Documentation/virt/kvm/devices/vfio.rst.
// Order that matters: add a group after SET_IOMMU and before the group's devices are opened, so that KVM sees the right
// coherency and drivers see the VM.

import { MinivmmError } from "@minivmm/host";
import { KVM_DEV_TYPE_VFIO, type KvmDevice, type KvmVm } from "@minivmm/kvm";
import { refused } from "../error.ts";
import {
  KVM_DEV_VFIO_GROUP,
  KVM_DEV_VFIO_GROUP_ADD,
  KVM_DEV_VFIO_GROUP_DEL,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
  kvm_vfio_file,
  kvm_vfio_spapr_tce,
} from "../uapi.ts";

export class KvmVfioDevice implements Disposable {
  readonly #device: KvmDevice;
  /** Values travel behind pointers: one buffer that stays in the process's address space. */
  readonly #value = new Uint8Array(new SharedArrayBuffer(kvm_vfio_spapr_tce.size));

  private constructor(device: KvmDevice) {
    this.#device = device;
  }

  /** Creates the VM's device. Throws KvmDeviceError KVM_VFIO_EBUSY when it has one. */
  static create(vm: KvmVm): KvmVfioDevice {
    try {
      return new KvmVfioDevice(vm.createDevice(KVM_DEV_TYPE_VFIO));
    } catch (error) {
      if (error instanceof MinivmmError && error.errno !== undefined) throw refused("create", error.errno, {});
      throw error;
    }
  }

  get fd(): number {
    return this.#device.fd;
  }

  /** Whether the kernel can link TCE tables (KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE). */
  get supportsSpaprTce(): boolean {
    return this.#device.hasAttribute({ group: KVM_DEV_VFIO_GROUP, attr: KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE });
  }

  /** Registers a group (or, from 6.4 on, a device) by its descriptor; KVM takes a reference on the file. */
  add(fd: number): void {
    this.#set("add", KVM_DEV_VFIO_GROUP_ADD, kvm_vfio_file.encode({ fd }, this.#value), { fd });
  }

  /** Takes a registered file back out; its linked TCE tables go with it. */
  remove(fd: number): void {
    this.#set("remove", KVM_DEV_VFIO_GROUP_DEL, kvm_vfio_file.encode({ fd }, this.#value), { fd });
  }

  /** Links the guest's view of a TCE table to the hardware tables of a registered group. */
  setSpaprTce(groupFd: number, tableFd: number): void {
    const value = kvm_vfio_spapr_tce.encode({ groupfd: groupFd, tablefd: tableFd }, this.#value);
    this.#set("setSpaprTce", KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, value, { groupFd, tableFd });
  }

  /** All registered files are let go. Before Linux 6.2 they stay until the VM ends. */
  close(): void {
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #set(
    operation: "add" | "remove" | "setSpaprTce",
    attr: number,
    data: Uint8Array,
    details: Record<string, unknown>,
  ): void {
    const result = this.#device.trySetAttribute({ group: KVM_DEV_VFIO_GROUP, attr, data });
    if (result < 0) throw refused(operation, -result, details);
  }
}
