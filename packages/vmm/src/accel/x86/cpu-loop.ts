// Running one vCPU until something other than a port or memory access comes up. Every thread of a VM has this loop; what an
// access does is its target's.
// Invariant: nothing here allocates; an access is carried out before the CPU goes on.
import { EINTR } from "@minivmm/host";
import { KVM_EXIT_INTR, KVM_EXIT_IO, KVM_EXIT_MMIO, KvmError, type KvmVcpu } from "@minivmm/kvm";
import { type ExitTarget, memoryExit, portExit } from "./exits.ts";

export interface ExitCounts {
  ports: number;
  memory: number;
  interrupted: number;
}

/**
 * As `runAccesses`, and what KVM_RUN is refused with comes back as -errno: a guest can bring that about, by touching
 * registers of a device that it has switched off.
 */
export function runCpu(vcpu: KvmVcpu, target: ExitTarget, counts: ExitCounts, pause: boolean): number {
  try {
    return runAccesses(vcpu, target, counts, pause);
  } catch (error) {
    if (error instanceof KvmError && error.errno !== undefined) return -error.errno;
    throw error;
  }
}

/**
 * Runs until the exit is none of the guest's accesses: the exit reason, or -EINTR when the thread was told to look up.
 * `pause`: come back after each access too, for devices that need a turn of the event loop.
 */
function runAccesses(vcpu: KvmVcpu, target: ExitTarget, counts: ExitCounts, pause: boolean): number {
  for (;;) {
    const reason = vcpu.run();
    if (reason === KVM_EXIT_IO) {
      counts.ports++;
      portExit(vcpu, target);
      if (pause) return reason;
    } else if (reason === KVM_EXIT_MMIO) {
      counts.memory++;
      memoryExit(vcpu, target);
      if (pause) return reason;
    } else if (reason === -EINTR || reason === KVM_EXIT_INTR) {
      counts.interrupted++;
      return -EINTR;
    } else {
      return reason;
    }
  }
}
