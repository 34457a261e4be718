// struct kvm_run of a POWER vCPU from the kernel's side: what goes into the exit information and comes back from it.
// Source: include/uapi/linux/kvm.h. The page belongs to user space as much as to the kernel: nothing in it is believed
// beyond its meaning (a value read, a hypercall's results, immediate_exit).

import { KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_MMIO, KVM_EXIT_PAPR_HCALL, kvm_run_head } from "../../uapi.ts";
import { PAPR_HCALL_ARG_COUNT, PAPR_HCALL_ARGS, PAPR_HCALL_NR, PAPR_HCALL_RET } from "../../uapi-power.ts";
import type { EngineRequest } from "./engine.ts";

const EXIT_REASON = kvm_run_head.offsets.exit_reason / 4;
const UNION = kvm_run_head.size / 4;
const MMIO_DATA = UNION + 2;
const MMIO_LENGTH = UNION + 4;
const MMIO_IS_WRITE = kvm_run_head.size + 20;
const NR = PAPR_HCALL_NR / 4;
const RET = PAPR_HCALL_RET / 4;
const ARGS = PAPR_HCALL_ARGS / 4;
const R3 = 6;
const R4 = 8;
const ARG_WORDS = 2 * PAPR_HCALL_ARG_COUNT;

export class RunPage {
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;

  constructor(pageSize: number) {
    this.bytes = new Uint8Array(pageSize);
    this.#words = new Uint32Array(this.bytes.buffer);
  }

  get immediateExit(): boolean {
    return this.bytes[kvm_run_head.offsets.immediate_exit] !== 0;
  }

  set exitReason(reason: number) {
    this.#words[EXIT_REASON] = reason;
    this.bytes[kvm_run_head.offsets.ready_for_interrupt_injection] = 1;
  }

  putHypercall(gpr: Uint32Array): void {
    const words = this.#words;
    words[NR] = gpr[R3] as number;
    words[NR + 1] = gpr[R3 + 1] as number;
    for (let n = 0; n < ARG_WORDS; n++) words[ARGS + n] = gpr[R4 + n] as number;
    this.exitReason = KVM_EXIT_PAPR_HCALL;
  }

  takeHypercall(gpr: Uint32Array): void {
    const words = this.#words;
    gpr[R3] = words[RET] as number;
    gpr[R3 + 1] = words[RET + 1] as number;
    for (let n = 0; n < ARG_WORDS; n++) gpr[R4 + n] = words[ARGS + n] as number;
  }

  putMmio({ gpa, size, write, lo, hi }: EngineRequest): void {
    const words = this.#words;
    words[UNION] = gpa % 2 ** 32;
    words[UNION + 1] = Math.floor(gpa / 2 ** 32);
    words[MMIO_DATA] = lo;
    words[MMIO_DATA + 1] = hi;
    words[MMIO_LENGTH] = size;
    this.bytes[MMIO_IS_WRITE] = write ? 1 : 0;
    this.exitReason = KVM_EXIT_MMIO;
  }

  get mmioLow(): number {
    return this.#words[MMIO_DATA] as number;
  }

  get mmioHigh(): number {
    return this.#words[MMIO_DATA + 1] as number;
  }

  putInternalError(suberror: number): void {
    this.#words[UNION] = suberror;
    this.#words[UNION + 1] = 0;
    this.exitReason = KVM_EXIT_INTERNAL_ERROR;
  }
}
