// Whether a host's KVM can run this machine's guests: the node is there, its kernel is POWER's, it runs radix guests.
// What is missing is one line for the user, never a half-made VM.
import type { Host } from "@minivmm/host";
import { KVM_CAP_MAX_VCPUS, KVM_CAP_PPC_MMU_RADIX, KVM_CAP_PPC_PAPR, KvmError, KvmSystem } from "@minivmm/kvm";
import { VmmError } from "../errors.ts";

const HINT = "leave out -enable-kvm: the CPU then runs in software, and device assignment works the same";

/** Throws VmmError USAGE_ACCEL. */
export function openPowerKvm(host: Host): KvmSystem {
  const refuse = (why: string, cause?: unknown): VmmError =>
    new VmmError(`KVM is not available on ${host.name}: ${why}`, { code: "USAGE_ACCEL", hint: HINT, cause });
  if (host.arch !== "ppc64le") throw refuse(`machine pseries needs a POWER kernel, this one is ${host.arch}`);
  let system: KvmSystem;
  try {
    system = KvmSystem.open(host);
  } catch (error) {
    if (error instanceof KvmError) throw refuse(error.message, error);
    throw error;
  }
  const missing = [
    [KVM_CAP_MAX_VCPUS, "its kernel runs no virtual CPUs"],
    [KVM_CAP_PPC_PAPR, "its kernel runs no PAPR guests"],
    [KVM_CAP_PPC_MMU_RADIX, "its kernel runs no radix guests"],
  ] as const;
  const lack = missing.find(([capability]) => system.checkExtension(capability) <= 0);
  if (lack === undefined) return system;
  system.close();
  throw refuse(lack[1]);
}
