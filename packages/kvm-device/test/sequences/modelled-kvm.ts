// The modelled kernel with KVM behind the calls of sequences: raw ioctls with bytes.

import { kvm_create_device, kvm_device_attr, kvmRequests } from "@minivmm/kvm";
import { ModelKvm, type Vm } from "@minivmm/kvm/model";
import type { Kernel } from "../../../vfio-core/test/sequences/calls.ts";
import { ModelledKernel } from "../../../vfio-core/test/sequences/modelled.ts";
import { KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, KVM_DEV_VFIO_GROUP_DEL } from "../../src/index.ts";
import { installKvmVfio, type KvmVfio } from "../../src/model/index.ts";
import type { KvmCalls } from "./calls.ts";

/** No process has anything there. */
const NOWHERE = 0x1000n;

export class ModelledKvm extends ModelledKernel implements KvmCalls {
  readonly kvm: ModelKvm;
  readonly deviceOf: (vm: Vm) => KvmVfio | undefined;
  readonly #requests: ReturnType<typeof kvmRequests>;

  constructor(kernel: Kernel, options: { snoopControl: boolean }) {
    super(kernel, options);
    this.kvm = new ModelKvm(this.host.kernel);
    this.deviceOf = installKvmVfio(this.kvm);
    this.#requests = kvmRequests(this.host.kernel.arch);
  }

  openKvm(p: number): number {
    return this.process(p).open("/dev/kvm", 2);
  }

  createVm(p: number, fd: number): number {
    return this.process(p).ioctl(fd, this.#requests.KVM_CREATE_VM, 0);
  }

  createDevice(p: number, fd: number, call: { type: number; flags: number }): number {
    const arg = kvm_create_device.encode(call);
    const result = this.process(p).ioctl(fd, this.#requests.KVM_CREATE_DEVICE, arg);
    return result < 0 || call.flags !== 0 ? result : kvm_create_device.decode(arg).fd;
  }

  add(p: number, fd: number, file: number): number {
    return this.#set(p, fd, KVM_DEV_VFIO_GROUP_ADD, file);
  }

  remove(p: number, fd: number, file: number): number {
    return this.#set(p, fd, KVM_DEV_VFIO_GROUP_DEL, file);
  }

  hasAttribute(p: number, fd: number, group: number, attr: number): number {
    const arg = kvm_device_attr.encode({ group, attr: BigInt(attr) });
    return this.process(p).ioctl(fd, this.#requests.KVM_HAS_DEVICE_ATTR, arg);
  }

  setUnreadable(p: number, fd: number, group: number, attr: number): number {
    const arg = kvm_device_attr.encode({ group, attr: BigInt(attr), addr: NOWHERE });
    return this.process(p).ioctl(fd, this.#requests.KVM_SET_DEVICE_ATTR, arg);
  }

  /** The descriptor travels behind a pointer: in the first page of data. */
  #set(p: number, fd: number, attr: number, file: number): number {
    const process = this.process(p);
    process.mm.write(this.data, new Uint8Array(new Int32Array([file]).buffer));
    const arg = kvm_device_attr.encode({ group: KVM_DEV_VFIO_GROUP, attr: BigInt(attr), addr: BigInt(this.data) });
    return process.ioctl(fd, this.#requests.KVM_SET_DEVICE_ATTR, arg);
  }
}
