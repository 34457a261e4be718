// In-kernel devices of a VM: the registry of types and the attribute protocol (virt/kvm/kvm_main.c,
// kvm_ioctl_create_device and kvm_device_ioctl).
// Invariants: an open device keeps its VM alive; callers from another address space get -EIO.

import { EFAULT, EIO, ENODEV, ENOTTY, ENXIO, EPERM, O_RDWR } from "@minivmm/host";
import { type FileOps, type IoctlCall, OpenFile } from "@minivmm/host/model";
import { KVM_CREATE_DEVICE_TEST, kvm_create_device, kvm_device_attr, kvmRequests } from "../uapi.ts";
import type { AttributeCall, KvmDeviceOps, KvmDeviceType, Vm } from "./frame.ts";

/** KVM_CREATE_DEVICE. */
export function createDevice(call: IoctlCall, vm: Vm, types: ReadonlyMap<number, KvmDeviceType>): number {
  const bytes = call.arg.copyIn(kvm_create_device.size);
  const request = kvm_create_device.decode(bytes);
  const make = types.get(request.type);
  if (!make) return -ENODEV;
  if (request.flags & KVM_CREATE_DEVICE_TEST) return 0;
  const device = make(vm);
  const fd = call.process.install(new OpenFile(new DeviceFile(vm, device), O_RDWR));
  if (fd < 0) {
    device.discard?.();
    return fd;
  }
  try {
    call.arg.copyOut(kvm_create_device.encode({ ...request, fd }));
  } catch (error) {
    call.process.close(fd);
    throw error;
  }
  return 0;
}

class DeviceFile implements FileOps {
  readonly kind: string;
  readonly device: KvmDeviceOps;
  readonly #vm: Vm;

  constructor(vm: Vm, device: KvmDeviceOps) {
    this.kind = device.kind;
    this.device = device;
    this.#vm = vm;
    vm.file.get();
  }

  ioctl(call: IoctlCall): number {
    const requests = kvmRequests(call.process.arch);
    if (call.process.mm !== this.#vm.process.mm) return -EIO;
    switch (call.request) {
      case requests.KVM_SET_DEVICE_ATTR:
        return this.#attribute(call, this.device.set?.bind(this.device));
      case requests.KVM_GET_DEVICE_ATTR:
        return this.#attribute(call, this.device.get?.bind(this.device));
      case requests.KVM_HAS_DEVICE_ATTR:
        return this.#attribute(call, this.device.has.bind(this.device));
      default:
        return -ENOTTY;
    }
  }

  #attribute(call: IoctlCall, handle: ((call: AttributeCall) => number) | undefined): number {
    if (!handle) return -EPERM;
    const view = call.arg.view(kvm_device_attr.size, "r");
    if (!view) return -EFAULT;
    const { group, attr, addr } = kvm_device_attr.read(view, 0);
    if (attr > 0xffff_ffffn) return -ENXIO;
    return handle({ process: call.process, group, attr: Number(attr), address: addr });
  }

  release(): void {
    this.device.release();
    this.#vm.file.put();
  }
}
