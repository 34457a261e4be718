// The page (struct kvm_run) that a vCPU shares with its user, and KVM_RUN on it: common to all architectures.
// Source: Documentation/virt/kvm/api.rst, "KVM_RUN" and struct kvm_run.
// Invariants: the page lives as long as this object; its fields are read with aligned loads, because the kernel writes
// them from another context.

import {
  EAGAIN,
  EINTR,
  ENODEV,
  errnoName,
  type Host,
  MAP_SHARED,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import { check, KvmError } from "../error.ts";
import { kvm_run_head, kvmRequests } from "../uapi.ts";

/** Offset of the exit information in struct kvm_run. */
export const EXIT_UNION = kvm_run_head.size;

export interface MmioExit {
  write: boolean;
  address: bigint;
  length: number;
  /** The eight data bytes in the run page. */
  data: Uint8Array;
}

export class VcpuRunPage {
  readonly host: Host;
  readonly fd: number;
  readonly bytes: Uint8Array;
  readonly #id: number;
  readonly #mapping: Mapping;
  readonly #exitReason: Uint32Array;
  readonly #KVM_RUN: number;

  private constructor(host: Host, fd: number, id: number, mapping: Mapping, bytes: Uint8Array) {
    this.host = host;
    this.fd = fd;
    this.bytes = bytes;
    this.#id = id;
    this.#mapping = mapping;
    this.#exitReason = new Uint32Array(bytes.buffer, bytes.byteOffset + kvm_run_head.offsets.exit_reason, 1);
    this.#KVM_RUN = kvmRequests(host.arch).KVM_RUN;
  }

  /** Takes over a vCPU descriptor and maps its run page. Throws KvmError KVM_RUN_PAGE, with the descriptor closed. */
  static map(host: Host, fd: number, id: number, runPageBytes: number): VcpuRunPage {
    const page = host.mmap({ length: runPageBytes, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd });
    if (typeof page === "object" && page.bytes) return new VcpuRunPage(host, fd, id, page, page.bytes);
    host.close(fd);
    if (typeof page === "object") page.close();
    const errno = typeof page === "number" ? -page : ENODEV;
    throw new KvmError(`cannot map the run page of vCPU ${id}: ${errnoName(errno)}`, {
      code: "KVM_RUN_PAGE",
      errno,
      details: { id },
    });
  }

  /**
   * The exit reason (KVM_EXIT_*), or -EINTR when a signal came first. An x86 vCPU that another one has just initialised
   * comes back with EAGAIN and is run again.
   */
  run(): number {
    let result = this.host.ioctl(this.fd, this.#KVM_RUN, 0);
    while (result === -EAGAIN) result = this.host.ioctl(this.fd, this.#KVM_RUN, 0);
    if (result === -EINTR) return -EINTR;
    if (result < 0) check(result, "KVM_RUN", { vcpu: this.#id });
    return this.#exitReason[0] as number;
  }

  set immediateExit(on: boolean) {
    this.#mapping.store(kvm_run_head.offsets.immediate_exit, 1, on ? 1 : 0);
  }

  load(offset: number, width: 1 | 2 | 4): number {
    return this.#mapping.load(offset, width);
  }

  mmioExit(): MmioExit {
    const low = BigInt(this.load(EXIT_UNION, 4));
    return {
      address: low | (BigInt(this.load(EXIT_UNION + 4, 4)) << 32n),
      data: this.bytes.subarray(EXIT_UNION + 8, EXIT_UNION + 16),
      length: this.load(EXIT_UNION + 16, 4),
      write: this.load(EXIT_UNION + 20, 1) === 1,
    };
  }

  unmap(): void {
    this.#mapping.close();
  }

  close(): void {
    this.unmap();
    this.host.close(this.fd);
  }
}
