// One x86 virtual CPU: its registers and what else can be read and set while it does not run.
// Source: Documentation/virt/kvm/api.rst, "KVM_GET_REGS", "KVM_SET_CPUID2", "KVM_SET_MSRS", "KVM_GET_LAPIC".
// KVM_RUN blocks: a program that has other work runs a vCPU in a worker thread.

import type { Host, StructValue } from "@minivmm/host";
import { check, KvmError } from "../error.ts";
import { type KvmRequests, kvmRequests } from "../uapi.ts";
import { kvm_fpu, kvm_lapic_state, kvm_mp_state, kvm_regs, kvm_sregs } from "../uapi-x86.ts";
import { type CpuidEntry, decodeMsrs, encodeCpuid, encodeMsrs, type MsrEntry } from "./cpu-tables.ts";
import { VcpuRunPage } from "./run-page.ts";
import { readStatistics } from "./stats.ts";
import { X86Exits } from "./x86-exits.ts";

export class KvmVcpu extends X86Exits implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly id: number;

  private constructor(id: number, page: VcpuRunPage) {
    super(page);
    this.host = page.host;
    this.fd = page.fd;
    this.id = id;
  }

  /** Takes over a vCPU descriptor and maps its run page. Throws KvmError KVM_RUN_PAGE. */
  static adopt(host: Host, fd: number, id: number, runPageBytes: number): KvmVcpu {
    return new KvmVcpu(id, VcpuRunPage.map(host, fd, id, runPageBytes));
  }

  /** General registers. */
  getRegs(): StructValue<typeof kvm_regs> {
    const bytes = new Uint8Array(kvm_regs.size);
    this.#ioctl("KVM_GET_REGS", bytes);
    return kvm_regs.decode(bytes);
  }

  setRegs(regs: Partial<StructValue<typeof kvm_regs>>): void {
    this.#ioctl("KVM_SET_REGS", kvm_regs.encode(regs));
  }

  /** Segment, table and control registers. */
  getSregs(): StructValue<typeof kvm_sregs> {
    const bytes = new Uint8Array(kvm_sregs.size);
    this.#ioctl("KVM_GET_SREGS", bytes);
    return kvm_sregs.decode(bytes);
  }

  setSregs(sregs: StructValue<typeof kvm_sregs>): void {
    this.#ioctl("KVM_SET_SREGS", kvm_sregs.encode(sregs));
  }

  getFpu(): StructValue<typeof kvm_fpu> {
    const bytes = new Uint8Array(kvm_fpu.size);
    this.#ioctl("KVM_GET_FPU", bytes);
    return kvm_fpu.decode(bytes);
  }

  /** Linux takes and gives all but `mxcsr`, which is 0x1f80 at reset. */
  setFpu(fpu: Partial<StructValue<typeof kvm_fpu>>): void {
    this.#ioctl("KVM_SET_FPU", kvm_fpu.encode(fpu));
  }

  /** What the CPUID instruction says; before the vCPU runs for the first time. */
  setCpuid(entries: readonly Readonly<CpuidEntry>[]): void {
    this.#ioctl("KVM_SET_CPUID2", encodeCpuid(entries));
  }

  /** Values of model-specific registers, in the order asked for. Throws KvmError KVM_MSR with the first that KVM does not have. */
  getMsrs(indexes: readonly number[]): bigint[] {
    const bytes = encodeMsrs(indexes.map((index) => ({ index, data: 0n })));
    this.#msrs("KVM_GET_MSRS", bytes, indexes);
    return decodeMsrs(bytes).map(({ data }) => data);
  }

  /** Throws KvmError KVM_MSR with the first register that KVM does not have or whose value it does not take. */
  setMsrs(entries: readonly Readonly<MsrEntry>[]): void {
    this.#msrs(
      "KVM_SET_MSRS",
      encodeMsrs(entries),
      entries.map(({ index }) => index),
    );
  }

  /** The in-kernel local APIC: its register page, each register at its offset. */
  getLapic(): Uint8Array {
    const bytes = new Uint8Array(kvm_lapic_state.size);
    this.#ioctl("KVM_GET_LAPIC", bytes);
    return bytes;
  }

  setLapic(regs: Uint8Array): void {
    this.#ioctl("KVM_SET_LAPIC", kvm_lapic_state.encode({ regs }));
  }

  /** KVM_MP_STATE_*: whether it runs, halts or waits to be started. */
  getMpState(): number {
    const bytes = new Uint8Array(kvm_mp_state.size);
    this.#ioctl("KVM_GET_MP_STATE", bytes);
    return kvm_mp_state.decode(bytes).mp_state;
  }

  setMpState(mp_state: number): void {
    this.#ioctl("KVM_SET_MP_STATE", kvm_mp_state.encode({ mp_state }));
  }

  /** The kernel's counts by name; empty where it keeps none. */
  statistics(): Record<string, number> {
    return readStatistics(this.host, this.fd);
  }

  /** Lets go of the run page; the descriptor stays, for another thread that has it. */
  detach(): void {
    this.page.unmap();
  }

  close(): void {
    this.page.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #msrs(request: "KVM_GET_MSRS" | "KVM_SET_MSRS", bytes: Uint8Array, indexes: readonly number[]): void {
    const refused = indexes[this.#ioctl(request, bytes)];
    if (refused === undefined) return;
    const msr = `0x${refused.toString(16)}`;
    throw new KvmError(`${request} stopped at register ${msr} of vCPU ${this.id}`, {
      code: "KVM_MSR",
      details: { request, vcpu: this.id, msr },
      hint: "KVM does not have this register on this processor, or it may not have this value.",
    });
  }

  #ioctl(request: keyof KvmRequests, bytes: Uint8Array): number {
    return check(this.host.ioctl(this.fd, kvmRequests(this.host.arch)[request], bytes), request, { vcpu: this.id });
  }
}
