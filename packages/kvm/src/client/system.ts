// /dev/kvm itself: version, capabilities, new virtual machines.
// Source: Documentation/virt/kvm/api.rst, chapter "System ioctls".

import { type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { check, KvmError, openError } from "../error.ts";
import { KVM_API_VERSION, kvmRequests } from "../uapi.ts";
import { type CpuidEntry, decodeCpuid, emptyCpuid } from "./cpu-tables.ts";
import { KvmVm } from "./vm.ts";

/** KVM takes no more, and cuts larger requests down to it. */
const KVM_MAX_CPUID_ENTRIES = 256;

export interface KvmOpenOptions {
  /** Default "/dev/kvm". */
  path?: string;
}

export class KvmSystem implements Disposable {
  readonly host: Host;
  readonly fd: number;

  private constructor(host: Host, fd: number) {
    this.host = host;
    this.fd = fd;
  }

  /** Opens KVM and checks its API version. Throws KvmError KVM_OPEN or KVM_VERSION. */
  static open(host: Host, options: KvmOpenOptions = {}): KvmSystem {
    const path = options.path ?? "/dev/kvm";
    const fd = host.open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) throw openError(path, -fd);
    const system = new KvmSystem(host, fd);
    const version = host.ioctl(fd, kvmRequests(host.arch).KVM_GET_API_VERSION);
    if (version === KVM_API_VERSION) return system;
    system.close();
    throw new KvmError(`${path} answers API version ${version}, not ${KVM_API_VERSION}`, {
      code: "KVM_VERSION",
      details: { path, version },
      hint: "The node is not KVM's, or the kernel is older than 2.6.22.",
    });
  }

  /** Value of a capability (KVM_CAP_*): 0 when absent, 1 or more otherwise. */
  checkExtension(capability: number): number {
    const { KVM_CHECK_EXTENSION } = kvmRequests(this.host.arch);
    return check(this.host.ioctl(this.fd, KVM_CHECK_EXTENSION, capability), "KVM_CHECK_EXTENSION", { capability });
  }

  /** Bytes of the run page area of one vCPU. */
  vcpuMmapSize(): number {
    return check(
      this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_GET_VCPU_MMAP_SIZE),
      "KVM_GET_VCPU_MMAP_SIZE",
    );
  }

  /** What CPUID may say in a guest of this x86 host, for KvmVcpu.setCpuid. */
  supportedCpuid(): CpuidEntry[] {
    const bytes = emptyCpuid(KVM_MAX_CPUID_ENTRIES);
    const { KVM_GET_SUPPORTED_CPUID } = kvmRequests(this.host.arch);
    check(this.host.ioctl(this.fd, KVM_GET_SUPPORTED_CPUID, bytes), "KVM_GET_SUPPORTED_CPUID");
    return decodeCpuid(bytes);
  }

  /** A new VM. `type` is 0 on x86; on powerpc 0 (default), 1 (HV) or 2 (PR). */
  createVm(type = 0): KvmVm {
    const runPageBytes = this.vcpuMmapSize();
    const fd = check(this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_CREATE_VM, type), "KVM_CREATE_VM", {
      type,
    });
    return new KvmVm(this.host, fd, runPageBytes);
  }

  close(): void {
    this.host.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
