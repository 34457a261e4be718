// An in-kernel device of a VM, steered by attributes (Documentation/virt/kvm/devices/README).
// Attribute values travel behind a pointer, so `data` is entered into the process's address space.

import type { Host } from "@minivmm/host";
import { check } from "../error.ts";
import { kvm_device_attr, kvmRequests } from "../uapi.ts";

export interface DeviceAttribute {
  group: number;
  attr: number;
  /** The bytes behind `kvm_device_attr.addr`. */
  data?: Uint8Array;
}

export class KvmDevice implements Disposable {
  readonly host: Host;
  readonly fd: number;
  /** KVM_DEV_TYPE_*. */
  readonly type: number;

  constructor(host: Host, fd: number, type: number) {
    this.host = host;
    this.fd = fd;
    this.type = type;
  }

  hasAttribute(attribute: DeviceAttribute): boolean {
    return this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_HAS_DEVICE_ATTR, this.#encode(attribute)) >= 0;
  }

  /** Result of KVM_SET_DEVICE_ATTR: >= 0 or -errno, for callers that have their own words for it. */
  trySetAttribute(attribute: DeviceAttribute): number {
    return this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_SET_DEVICE_ATTR, this.#encode(attribute));
  }

  setAttribute(attribute: DeviceAttribute): void {
    const { group, attr } = attribute;
    check(this.trySetAttribute(attribute), "KVM_SET_DEVICE_ATTR", { group, attr });
  }

  close(): void {
    this.host.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #encode({ group, attr, data }: DeviceAttribute): Uint8Array {
    return kvm_device_attr.encode({ group, attr: BigInt(attr), addr: data ? this.host.addressOf(data) : 0n });
  }
}
