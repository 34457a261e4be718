// A guest of one instruction: it makes the hypercall whose registers it is given, keeps what came back, and stops.
// It runs in real mode (MSR: SF, ME, LE) from a page of its memory, through KVM_RUN. What KVM leaves to user space is noted
// and answered as the recorder did.
// Source: Documentation/virt/kvm/api.rst (KVM_EXIT_PAPR_HCALL); PAPR 14.5.3: r3 is the call, r4 on its arguments.

import { EINTR, errnoName, MAP_SHARED, PROT_READ, PROT_WRITE } from "@minivmm/host";
import * as kvm from "@minivmm/kvm";
import { Assembler, r3, r4, r14, r15 } from "@minivmm/ppc64/asm";
import type { Json } from "../lines.ts";
import type { Actor } from "../machine.ts";

const requests = kvm.kvmRequests("ppc64le");
/** A call beyond all that exist: the guest is done. */
const STOP = 0x7ffc;
const SHOWN_ARGS = 4;
const MAX_EXITS = 16;

export interface HypercallResult {
  readonly r3: bigint;
  readonly r4: bigint;
  readonly exits: readonly Json[];
}

export class Guest {
  readonly #actor: Actor;
  readonly #fd: number;
  readonly #run: bigint;
  #pc = 0n;
  #msr = 0n;

  private constructor(actor: Actor, fd: number, run: bigint) {
    this.#actor = actor;
    this.#fd = fd;
    this.#run = run;
  }

  /** A vCPU of the VM, or -errno. */
  static create(actor: Actor, kvmFd: number, vmFd: number): Guest | number {
    const { host } = actor;
    const fd = host.ioctl(vmFd, requests.KVM_CREATE_VCPU, 0);
    if (fd < 0) return fd;
    const length = host.ioctl(kvmFd, requests.KVM_GET_VCPU_MMAP_SIZE, 0);
    const run = host.mmap({ fd, length, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED });
    return typeof run === "number" ? run : new Guest(actor, fd, run.address);
  }

  get fd(): number {
    return this.#fd;
  }

  /** Where the program lies; `write` puts it into the guest's memory. */
  place(pc: bigint, msr: bigint, write: (gpa: bigint, code: Uint8Array) => void): number {
    this.#pc = pc;
    this.#msr = msr;
    write(pc, program(pc));
    return this.#setRegisters([]);
  }

  /** Runs the hypercall with r3 = `nr` and r4 on = `args`. `answer` is user space's, where KVM leaves it to that. */
  hypercall(nr: bigint, args: readonly bigint[], answer: bigint): HypercallResult {
    const exits: Json[] = [];
    const set = this.#setRegisters([nr, ...args]);
    if (set < 0) throw new Error(`KVM_SET_REGS of the guest failed: ${set}`);
    for (let count = 0; count < MAX_EXITS; count++) {
      const ret = this.#actor.host.ioctl(this.#fd, requests.KVM_RUN, 0);
      // A signal, or what a modelled kernel has instead of being preempted.
      if (ret === -EINTR) continue;
      if (ret < 0) throw new Error(`KVM_RUN failed: ${errnoName(-ret)}`);
      const exit = this.#exit(answer);
      if (exit.nr === BigInt(STOP)) {
        this.#finishExit();
        return this.#result(exits);
      }
      exits.push({ reason: exit.reason, nr: exit.nr, args: exit.args });
      if (exit.reason !== kvm.KVM_EXIT_PAPR_HCALL) break;
    }
    return this.#result(exits);
  }

  #setRegisters(values: readonly bigint[]): number {
    const gpr = Array.from({ length: 32 }, (_, index) => values[index - 3] ?? 0n);
    const regs = kvm.kvm_power_regs.encode({ pc: this.#pc, msr: this.#msr, gpr });
    return this.#actor.host.ioctl(this.#fd, requests.KVM_SET_REGS, regs);
  }

  #exit(result: bigint): { reason: number; nr: bigint; args: bigint[] } {
    const bytes = new Uint8Array(kvm.PAPR_HCALL_ARGS + SHOWN_ARGS * 8);
    this.#actor.readMemory(this.#run, bytes);
    const view = new DataView(bytes.buffer);
    const reason = kvm.kvm_run_head.decode(bytes).exit_reason;
    const answer = new Uint8Array(new BigUint64Array([result]).buffer);
    if (reason === kvm.KVM_EXIT_PAPR_HCALL) {
      this.#actor.writeMemory(this.#run + BigInt(kvm.PAPR_HCALL_RET), answer);
    }
    const args = Array.from({ length: SHOWN_ARGS }, (_, i) => view.getBigUint64(kvm.PAPR_HCALL_ARGS + i * 8, true));
    return { reason, nr: view.getBigUint64(kvm.PAPR_HCALL_NR, true), args };
  }

  /** The results of a hypercall go into the registers at the next KVM_RUN: one that does nothing else. */
  #finishExit(): void {
    const at = this.#run + BigInt(kvm.kvm_run_head.offsets.immediate_exit);
    this.#actor.writeMemory(at, new Uint8Array([1]));
    this.#actor.host.ioctl(this.#fd, requests.KVM_RUN, 0);
    this.#actor.writeMemory(at, new Uint8Array([0]));
  }

  #result(exits: readonly Json[]): HypercallResult {
    const bytes = new Uint8Array(kvm.kvm_power_regs.size);
    this.#actor.host.ioctl(this.#fd, requests.KVM_GET_REGS, bytes);
    const { gpr } = kvm.kvm_power_regs.decode(bytes);
    return { r3: BigInt.asIntN(64, gpr[14] ?? 0n), r4: gpr[15] ?? 0n, exits };
  }
}

function program(origin: bigint): Uint8Array {
  const a = new Assembler({ origin: Number(origin) });
  a.sc(1);
  a.mr(r14, r3);
  a.mr(r15, r4);
  a.li(r3, STOP);
  a.sc(1);
  a.label("stopped");
  a.b("stopped");
  return a.bytes();
}
