// Errors of the KVM client: which request failed, on what, why, and what to do about it.

import { EACCES, EBUSY, ENODEV, ENOENT, EPERM, errnoName, MinivmmError } from "@minivmm/host";

export class KvmError extends MinivmmError {}

const OPEN_HINTS: Record<number, string> = {
  [ENOENT]: "Load the module kvm_intel, kvm_amd or kvm_hv, and check that virtualization is enabled in the firmware.",
  [ENODEV]: "The processor's virtualization is off or taken; enable it in the firmware.",
  [EACCES]: "Add yourself to the group that owns the node (usually `kvm`).",
  [EPERM]: "Add yourself to the group that owns the node (usually `kvm`).",
};

export function openError(path: string, errno: number): KvmError {
  const hint = OPEN_HINTS[errno];
  return new KvmError(`cannot open ${path}: ${errnoName(errno)}`, {
    code: "KVM_OPEN",
    errno,
    details: { path },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** `result` when it is not negative; else a KvmError naming the request and what it was for. */
export function check(result: number, request: string, details: Record<string, unknown> = {}): number {
  if (result >= 0) return result;
  const on = Object.entries(details).map(([key, value]) => `${key} ${String(value)}`);
  const errno = -result;
  throw new KvmError(`${request} failed${on.length > 0 ? ` on ${on.join(", ")}` : ""}: ${errnoName(errno)}`, {
    code: "KVM_IOCTL",
    errno,
    details: { request, ...details },
    ...(errno === EBUSY ? { hint: "The object is in use already; each may be attached once." } : {}),
  });
}
