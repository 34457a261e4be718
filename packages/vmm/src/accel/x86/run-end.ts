// How a vCPU's run ended when no access of the guest ended it, in words. Source: Documentation/virt/kvm/api.rst, struct kvm_run.
import { EFAULT, errnoName } from "@minivmm/host";
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  type KvmVcpu,
} from "@minivmm/kvm";
import type { RunEnd } from "../accelerator.ts";

const SYSTEM_EVENT_SHUTDOWN = 1;
const SYSTEM_EVENT_RESET = 2;
const INTERNAL_ERRORS: Readonly<Record<number, string>> = {
  1: "it cannot carry out an instruction of the guest",
  2: "two exceptions came at once",
  3: "an event could not be delivered",
  4: "the processor left the guest for an unexpected reason",
};

/** `reason`: an exit reason, or -errno of KVM_RUN. `detail` is what endDetail gave. */
export function runEnd(cpu: number, reason: number, detail: number, rip: bigint | undefined): RunEnd {
  const where = rip === undefined ? "" : ` at instruction 0x${rip.toString(16)}`;
  const halt = (message: string): RunEnd => ({ reason: "halt", message: `CPU ${cpu}${where}: ${message}` });
  if (reason === -EFAULT) {
    return halt(
      "KVM found no memory behind an address: the guest used a device that it had switched off, or that is gone",
    );
  }
  if (reason < 0) return halt(`KVM_RUN was refused with ${errnoName(-reason)}`);
  switch (reason) {
    // A triple fault resets a PC.
    case KVM_EXIT_SHUTDOWN:
      return { reason: "reset" };
    case KVM_EXIT_SYSTEM_EVENT:
      if (detail === SYSTEM_EVENT_SHUTDOWN) return { reason: "power-off" };
      if (detail === SYSTEM_EVENT_RESET) return { reason: "reset" };
      return halt(`the guest reports a crash (system event ${detail})`);
    case KVM_EXIT_INTERNAL_ERROR:
      return halt(`KVM cannot go on: ${INTERNAL_ERRORS[detail] ?? `internal error ${detail}`}`);
    case KVM_EXIT_FAIL_ENTRY:
      return halt(`the processor refuses to enter the guest (reason 0x${detail.toString(16)})`);
    default:
      return halt(`KVM came back for reason ${reason}, which machine pc does not know`);
  }
}

/** What KVM says besides the reason. */
export function endDetail(vcpu: KvmVcpu, reason: number): number {
  if (reason === KVM_EXIT_SYSTEM_EVENT) return vcpu.systemEvent;
  if (reason === KVM_EXIT_INTERNAL_ERROR) return vcpu.internalError;
  return reason === KVM_EXIT_FAIL_ENTRY ? vcpu.failEntryReason : 0;
}
