// One virtual CPU and the run page it shares with its user.
// Source: Documentation/virt/kvm/api.rst, "KVM_RUN" and struct kvm_run.
// Invariants: the run page lives as long as this object; its fields are read with aligned loads, because the kernel
// writes them from another context. KVM_RUN blocks: a program that has other work runs a vCPU in a worker thread.

import {
  EINTR,
  ENODEV,
  errnoName,
  type Host,
  MAP_SHARED,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
  type StructValue,
} from "@minivmm/host";
import { check, KvmError } from "../error.ts";
import { kvm_regs, kvm_run_head, kvm_sregs, kvmRequests } from "../uapi.ts";

/** Offset of the exit information in struct kvm_run. */
const EXIT_UNION = 32;

export interface PortExit {
  out: boolean;
  width: 1 | 2 | 4;
  port: number;
  count: number;
  /** The data in the run page: `width * count` bytes, to be filled for an input. */
  data: Uint8Array;
}

export interface MmioExit {
  write: boolean;
  address: bigint;
  length: number;
  /** The eight data bytes in the run page. */
  data: Uint8Array;
}

export class KvmVcpu implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly id: number;
  readonly #page: Mapping;
  readonly #bytes: Uint8Array;

  private constructor(host: Host, fd: number, id: number, page: Mapping, bytes: Uint8Array) {
    this.host = host;
    this.fd = fd;
    this.id = id;
    this.#page = page;
    this.#bytes = bytes;
  }

  /** Takes over a vCPU descriptor and maps its run page. */
  static adopt(host: Host, fd: number, id: number, runPageBytes: number): KvmVcpu {
    const page = host.mmap({ length: runPageBytes, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd });
    if (typeof page === "object" && page.bytes) return new KvmVcpu(host, fd, id, page, page.bytes);
    host.close(fd);
    if (typeof page === "object") page.close();
    const errno = typeof page === "number" ? -page : ENODEV;
    throw new KvmError(`cannot map the run page of vCPU ${id}: ${errnoName(errno)}`, {
      code: "KVM_RUN_PAGE",
      errno,
      details: { id },
    });
  }

  /** Runs the guest until it exits: the exit reason (KVM_EXIT_*), or -EINTR when a signal came first. */
  run(): number {
    const result = this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_RUN, 0);
    if (result === -EINTR) return -EINTR;
    check(result, "KVM_RUN", { vcpu: this.id });
    return this.#page.load(kvm_run_head.offsets.exit_reason, 4);
  }

  /** While set, KVM_RUN finishes pending I/O and returns at once with EINTR. */
  set immediateExit(on: boolean) {
    this.#page.store(kvm_run_head.offsets.immediate_exit, 1, on ? 1 : 0);
  }

  /** Valid after KVM_EXIT_IO. */
  portExit(): PortExit {
    const width = this.#page.load(EXIT_UNION + 1, 1) as PortExit["width"];
    const count = this.#page.load(EXIT_UNION + 4, 4);
    const at = this.#page.load(EXIT_UNION + 8, 4);
    return {
      out: this.#page.load(EXIT_UNION, 1) === 1,
      width,
      port: this.#page.load(EXIT_UNION + 2, 2),
      count,
      data: this.#bytes.subarray(at, at + width * count),
    };
  }

  /** Valid after KVM_EXIT_MMIO. */
  mmioExit(): MmioExit {
    const low = BigInt(this.#page.load(EXIT_UNION, 4));
    return {
      address: low | (BigInt(this.#page.load(EXIT_UNION + 4, 4)) << 32n),
      data: this.#bytes.subarray(EXIT_UNION + 8, EXIT_UNION + 16),
      length: this.#page.load(EXIT_UNION + 16, 4),
      write: this.#page.load(EXIT_UNION + 20, 1) === 1,
    };
  }

  /** x86 general registers. */
  getRegs(): StructValue<typeof kvm_regs> {
    const bytes = new Uint8Array(kvm_regs.size);
    this.#ioctl("KVM_GET_REGS", bytes);
    return kvm_regs.decode(bytes);
  }

  setRegs(regs: Partial<StructValue<typeof kvm_regs>>): void {
    this.#ioctl("KVM_SET_REGS", kvm_regs.encode(regs));
  }

  /** x86 segment, table and control registers. */
  getSregs(): StructValue<typeof kvm_sregs> {
    const bytes = new Uint8Array(kvm_sregs.size);
    this.#ioctl("KVM_GET_SREGS", bytes);
    return kvm_sregs.decode(bytes);
  }

  setSregs(sregs: StructValue<typeof kvm_sregs>): void {
    this.#ioctl("KVM_SET_SREGS", kvm_sregs.encode(sregs));
  }

  close(): void {
    this.#page.close();
    this.host.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ioctl(request: "KVM_GET_REGS" | "KVM_SET_REGS" | "KVM_GET_SREGS" | "KVM_SET_SREGS", bytes: Uint8Array): void {
    check(this.host.ioctl(this.fd, kvmRequests(this.host.arch)[request], bytes), request, { vcpu: this.id });
  }
}
