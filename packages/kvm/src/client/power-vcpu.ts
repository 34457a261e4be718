// One POWER virtual CPU under HV KVM: PAPR guests whose hypercalls the kernel does not answer come to user space.
// Source: Documentation/virt/kvm/api.rst, "KVM_RUN", KVM_EXIT_PAPR_HCALL, "KVM_INTERRUPT", "KVM_GET_ONE_REG".
// KVM_RUN blocks: a program that has other work runs a vCPU in a worker thread. On a modelled kernel it does not: where
// the guest sleeps run() gives -EINTR, and the descriptor can be watched for the moment to call it again.

import type { Host, StructValue } from "@minivmm/host";
import { check } from "../error.ts";
import { KVM_CAP_PPC_PAPR, kvm_enable_cap, kvm_one_reg, kvmRequests } from "../uapi.ts";
import {
  KVM_INTERRUPT_SET_LEVEL,
  KVM_INTERRUPT_UNSET,
  kvm_interrupt,
  kvm_power_regs,
  kvm_power_sregs,
  PAPR_HCALL_ARG_COUNT,
  PAPR_HCALL_ARGS,
  PAPR_HCALL_NR,
  registerBytes,
} from "../uapi-power.ts";
import { EXIT_UNION, type MmioExit, VcpuRunPage } from "./run-page.ts";
import { readStatistics } from "./stats.ts";

/** r4's halves stand where a register file of halves has them: [8] and [9]. */
const REGISTERS_START = PAPR_HCALL_ARGS - 8 * 4;
const REGISTERS_WORDS = 2 * (4 + PAPR_HCALL_ARG_COUNT);
const NR = (PAPR_HCALL_NR - REGISTERS_START) / 4;
const R3 = 6;

export class KvmPowerVcpu implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly id: number;
  readonly #page: VcpuRunPage;
  readonly #registers: Uint32Array;
  readonly #union: Uint32Array;
  readonly #level: Uint8Array;
  readonly #unset: Uint8Array;
  readonly #KVM_INTERRUPT: number;
  /** Values of single registers travel behind a pointer: memory that never moves. */
  readonly #value: Uint8Array = new Uint8Array(new SharedArrayBuffer(16));

  private constructor(id: number, page: VcpuRunPage) {
    const { bytes } = page;
    this.host = page.host;
    this.fd = page.fd;
    this.id = id;
    this.#page = page;
    this.#registers = new Uint32Array(bytes.buffer, bytes.byteOffset + REGISTERS_START, REGISTERS_WORDS);
    this.#union = new Uint32Array(bytes.buffer, bytes.byteOffset + EXIT_UNION, 6);
    this.#level = kvm_interrupt.encode({ irq: KVM_INTERRUPT_SET_LEVEL });
    this.#unset = kvm_interrupt.encode({ irq: KVM_INTERRUPT_UNSET });
    this.#KVM_INTERRUPT = kvmRequests(page.host.arch).KVM_INTERRUPT;
  }

  /** Takes over a vCPU descriptor and maps its run page. Throws KvmError KVM_RUN_PAGE. */
  static adopt(host: Host, fd: number, id: number, runPageBytes: number): KvmPowerVcpu {
    return new KvmPowerVcpu(id, VcpuRunPage.map(host, fd, id, runPageBytes));
  }

  /** Tells KVM that the guest makes PAPR hypercalls; HV KVM runs no other. */
  enablePapr(): void {
    this.#ioctl("KVM_ENABLE_CAP", kvm_enable_cap.encode({ cap: KVM_CAP_PPC_PAPR }));
  }

  /** Runs the guest until it exits: the exit reason (KVM_EXIT_*), or -EINTR when a signal came first. */
  run(): number {
    return this.#page.run();
  }

  /** While set, KVM_RUN finishes pending I/O and returns at once with EINTR. */
  set immediateExit(on: boolean) {
    this.#page.immediateExit = on;
  }

  /**
   * Valid after KVM_EXIT_PAPR_HCALL: the guest's registers as pairs of halves, [2n] low and [2n + 1] high, r3 to r12 only.
   * r3 is the call; what stands in r3 to r12 at the next run() is what the guest gets. They are the run page itself.
   */
  hypercall(): Uint32Array {
    const registers = this.#registers;
    registers[R3] = registers[NR] as number;
    registers[R3 + 1] = registers[NR + 1] as number;
    return registers;
  }

  /** Valid after KVM_EXIT_MMIO. */
  mmioExit(): MmioExit {
    return this.#page.mmioExit();
  }

  /** The same without allocating: [0] and [1] address, [2] and [3] data in memory order, [4] length, [5] & 0xff is write. */
  mmioWords(): Uint32Array {
    return this.#union;
  }

  /** Valid after KVM_EXIT_INTERNAL_ERROR: KVM_INTERNAL_ERROR_*. */
  internalError(): number {
    return this.#union[0] as number;
  }

  /** The line of the interrupt controller that user space models. */
  setExternalInterrupt(level: boolean): void {
    const result = this.host.ioctl(this.fd, this.#KVM_INTERRUPT, level ? this.#level : this.#unset);
    if (result < 0) check(result, "KVM_INTERRUPT", { vcpu: this.id });
  }

  getRegs(): StructValue<typeof kvm_power_regs> {
    const bytes = new Uint8Array(kvm_power_regs.size);
    this.#ioctl("KVM_GET_REGS", bytes);
    return kvm_power_regs.decode(bytes);
  }

  setRegs(regs: Partial<StructValue<typeof kvm_power_regs>>): void {
    this.#ioctl("KVM_SET_REGS", kvm_power_regs.encode(regs));
  }

  getSregs(): StructValue<typeof kvm_power_sregs> {
    const bytes = new Uint8Array(kvm_power_sregs.size);
    this.#ioctl("KVM_GET_SREGS", bytes);
    return kvm_power_sregs.decode(bytes);
  }

  setSregs(sregs: StructValue<typeof kvm_power_sregs>): void {
    this.#ioctl("KVM_SET_SREGS", kvm_power_sregs.encode(sregs));
  }

  /** A register by id (KVM_REG_PPC_*). */
  getOneReg(id: bigint): bigint {
    this.#value.fill(0);
    this.#oneReg("KVM_GET_ONE_REG", id);
    return this.#value.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  setOneReg(id: bigint, value: bigint): void {
    for (let n = 0; n < Math.min(registerBytes(id), 16); n++) {
      this.#value[n] = Number((value >> BigInt(8 * n)) & 0xffn);
    }
    this.#oneReg("KVM_SET_ONE_REG", id);
  }

  /** The kernel's counts by name; empty where it keeps none. */
  statistics(): Record<string, number> {
    return readStatistics(this.host, this.fd);
  }

  close(): void {
    this.#page.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #oneReg(request: "KVM_GET_ONE_REG" | "KVM_SET_ONE_REG", id: bigint): void {
    const bytes = kvm_one_reg.encode({ id, addr: this.host.addressOf(this.#value) });
    this.#ioctl(request, bytes, { register: `0x${id.toString(16)}` });
  }

  #ioctl(request: keyof ReturnType<typeof kvmRequests>, bytes: Uint8Array, details: { register?: string } = {}): void {
    const result = this.host.ioctl(this.fd, kvmRequests(this.host.arch)[request], bytes);
    check(result, request, { vcpu: this.id, ...details });
  }
}
