// One x86 virtual CPU.
// Source: Documentation/virt/kvm/api.rst, "KVM_RUN", "KVM_GET_REGS".
// KVM_RUN blocks: a program that has other work runs a vCPU in a worker thread.

import type { Host, StructValue } from "@minivmm/host";
import { check } from "../error.ts";
import { kvm_regs, kvm_sregs, kvmRequests } from "../uapi.ts";
import { EXIT_UNION, type MmioExit, VcpuRunPage } from "./run-page.ts";

export interface PortExit {
  out: boolean;
  width: 1 | 2 | 4;
  port: number;
  count: number;
  /** The data in the run page: `width * count` bytes, to be filled for an input. */
  data: Uint8Array;
}

export class KvmVcpu implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly id: number;
  readonly #page: VcpuRunPage;

  private constructor(id: number, page: VcpuRunPage) {
    this.host = page.host;
    this.fd = page.fd;
    this.id = id;
    this.#page = page;
  }

  /** Takes over a vCPU descriptor and maps its run page. Throws KvmError KVM_RUN_PAGE. */
  static adopt(host: Host, fd: number, id: number, runPageBytes: number): KvmVcpu {
    return new KvmVcpu(id, VcpuRunPage.map(host, fd, id, runPageBytes));
  }

  /** Runs the guest until it exits: the exit reason (KVM_EXIT_*), or -EINTR when a signal came first. */
  run(): number {
    return this.#page.run();
  }

  /** While set, KVM_RUN finishes pending I/O and returns at once with EINTR. */
  set immediateExit(on: boolean) {
    this.#page.immediateExit = on;
  }

  /** Valid after KVM_EXIT_IO. */
  portExit(): PortExit {
    const page = this.#page;
    const width = page.load(EXIT_UNION + 1, 1) as PortExit["width"];
    const count = page.load(EXIT_UNION + 4, 4);
    const at = page.load(EXIT_UNION + 8, 4);
    return {
      out: page.load(EXIT_UNION, 1) === 1,
      width,
      port: page.load(EXIT_UNION + 2, 2),
      count,
      data: page.bytes.subarray(at, at + width * count),
    };
  }

  /** Valid after KVM_EXIT_MMIO. */
  mmioExit(): MmioExit {
    return this.#page.mmioExit();
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
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ioctl(request: "KVM_GET_REGS" | "KVM_SET_REGS" | "KVM_GET_SREGS" | "KVM_SET_SREGS", bytes: Uint8Array): void {
    check(this.host.ioctl(this.fd, kvmRequests(this.host.arch)[request], bytes), request, { vcpu: this.id });
  }
}
