// Turns an errno of an sPAPR container call into what a user can act on.
import { EBUSY, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTTY, EPERM, errnoName, type Host } from "@minivmm/host";
import { lockedMemoryShortage } from "@minivmm/vfio-core";
import { SpaprError } from "../error.ts";

interface Reason {
  code: string;
  why: string;
  hint: string;
}

const REASONS: Readonly<Record<number, Reason>> = {
  [EBUSY]: {
    code: "MEMORY_REFUSED",
    why: "it is registered or enabled already",
    hint: "Do it once for each container.",
  },
  [EFAULT]: {
    code: "MEMORY_REFUSED",
    why: "the memory is not mapped, or not writable",
    hint: "Map it readable and writable; memory for DMA is always pinned for writing.",
  },
  [ENOENT]: {
    code: "MEMORY_REFUSED",
    why: "this container did not register exactly that range",
    hint: "Unregister with the same address and size that were registered.",
  },
  [ENOSPC]: {
    code: "WINDOW_REFUSED",
    why: "all DMA windows are in use",
    hint: "Remove one first; the default window counts too.",
  },
  [EPERM]: {
    code: "OTHER_PROCESS",
    why: "the container is not enabled, belongs to another process, or its groups cannot share a window",
    hint: "Enable it (v1) or register memory (v2) first, from the process that maps; on pseries use one container a group.",
  },
  [ENOTTY]: {
    code: "REFUSED",
    why: "the container's IOMMU version has no such call",
    hint: "enable and disable are version 1; windows and registered memory are version 2.",
  },
  [EINVAL]: {
    code: "REFUSED",
    why: "the arguments are not acceptable, or the container has no IOMMU type",
    hint: "Addresses and sizes are multiples of the page size; windows are powers of two with a page size of info().",
  },
};

/** The error to throw; `result` is -errno. */
export function refused(host: Host, what: string, result: number, details: Record<string, unknown> = {}): SpaprError {
  const errno = -result;
  if (errno === ENOMEM) return tooLittleMemlock(host, what, details);
  const reason = REASONS[errno];
  return new SpaprError(`${what}: ${reason ? `${reason.why} (${errnoName(errno)})` : errnoName(errno)}`, {
    code: reason?.code ?? "REFUSED",
    errno,
    details,
    hint: reason?.hint,
  });
}

/**
 * RLIMIT_MEMLOCK is too low for `details.size` bytes, or the host is short of memory. `atLeast`: more is charged than that,
 * as for the levels of a table.
 */
export function tooLittleMemlock(
  host: Host,
  what: string,
  details: Record<string, unknown>,
  atLeast = details.size === undefined,
): SpaprError {
  const size = typeof details.size === "number" ? details.size : 0;
  const { limited, details: known, why, hint } = lockedMemoryShortage(host, size, { atLeast });
  return new SpaprError(`${what}: ${why}`, {
    code: limited ? "MEMLOCK" : "REFUSED",
    errno: ENOMEM,
    details: { ...details, ...known },
    hint: limited ? `A VM needs its memory and its DMA tables. ${hint}` : hint,
  });
}
