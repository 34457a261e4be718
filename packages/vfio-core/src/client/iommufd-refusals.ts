/**
 * Turns an errno of iommufd into what a user can act on. The same number has other reasons here than on a container;
 * the address space's own ranges tell some of them apart. Every function returns the error to throw.
 */
import {
  EADDRINUSE,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  errnoName,
  type Host,
} from "@minivmm/host";
import { VfioError } from "../error.ts";
import { lockedMemoryShortage } from "./locked-memory.ts";
import { openDenied } from "./permission.ts";

const IOMMUFD = "/dev/iommu";

const PINNABLE =
  "It must be mapped in this process, writable if the device may write; a device's memory cannot be used.";
const RAISE =
  "Raise it above all that the user's iommufds map together (ulimit -l, in KiB; memlock in limits.conf), or grant CAP_IPC_LOCK.";
const WHOLE = "All of the source range must be mapped, in an address space of the same iommufd.";

interface Reason {
  readonly code: string;
  readonly why: string;
  readonly hint?: string;
}

/** What an address space says about itself, for explanations. */
export interface SpaceFacts {
  readonly ranges: readonly { readonly start: bigint; readonly end: bigint }[];
  /** Bytes. */
  readonly alignment: number;
}

export function iommufdOpenRefused(host: Host, result: number): VfioError {
  const denied = openDenied(host, IOMMUFD, result);
  if (denied) return denied;
  if (result !== -ENOENT) return refusal(`${IOMMUFD} cannot be opened`, result, {});
  return new VfioError(`${IOMMUFD} does not exist: this kernel has no iommufd, or its module is not loaded`, {
    code: "NO_IOMMUFD_NODE",
    errno: ENOENT,
    hint: "Load it (modprobe iommufd). Debian's kernels are built without: use a container and groups there.",
  });
}

export function objectRefused(what: string, id: number, result: number): VfioError {
  const reasons = new Map<number, Reason>([
    [ENOENT, { code: "NO_OBJECT", why: `the iommufd has no such object ${id}`, hint: "Was it destroyed already?" }],
    [
      EBUSY,
      { code: "IN_USE", why: "it is in use", hint: "Detach the devices and destroy what was made on top of it." },
    ],
    [EOPNOTSUPP, { code: "REFUSED", why: "the hardware or this kernel cannot do that" }],
  ]);
  return refusal(what, result, { id }, reasons.get(-result));
}

export interface MapFacts {
  /** Null: the kernel was to choose. */
  readonly iova: bigint | null;
  readonly size: bigint;
  readonly address?: bigint;
}

/** `space` is null when the address space cannot be asked. */
export function spaceMapRefused(host: Host, map: MapFacts, space: SpaceFacts | null, result: number): VfioError {
  const where = map.iova === null ? "" : ` at IOVA 0x${map.iova.toString(16)}`;
  const what = `${map.size} bytes${where} cannot be mapped`;
  const errno = -result;
  if (errno === ENOMEM) return memlock(host, what, map);
  const fixed = new Map<number, Reason>([
    [EEXIST, { code: "OVERLAP", why: "part of the range is mapped already", hint: "Unmap that first." }],
    [EFAULT, { code: "BAD_MEMORY", why: "the memory is not there, or does not allow the access", hint: PINNABLE }],
    [ENOENT, { code: "NO_OBJECT", why: "the address space, or what was to be copied, is not there", hint: WHOLE }],
    [ENOSPC, { code: "IOVA_RANGE", why: "there is no room for it", hint: "Unmap something, or allow more (allow)." }],
    [EOVERFLOW, { code: "IOVA_RANGE", why: "it goes beyond 64 bits", hint: "Check address and size." }],
    [EPERM, { code: "BAD_MEMORY", why: "it was mapped for reading only", hint: "Map it writable before copying." }],
  ]);
  const reason = fixed.get(errno) ?? shape(map, space);
  return refusal(what, result, { ...map, ...(reason?.code === "IOVA_RANGE" && space) }, reason);
}

export function spaceUnmapRefused(iova: bigint, size: bigint, result: number): VfioError {
  const what = `${size} bytes at IOVA 0x${iova.toString(16)} cannot be unmapped`;
  const reason: Reason = {
    code: "PARTIAL_UNMAP",
    why: "nothing is mapped there, or a mapping lies only partly inside",
    hint: "Unmap with the IOVA and size that were mapped; mappings are not split. What lay before it is gone.",
  };
  return refusal(what, result, { iova, size }, result === -ENOENT ? reason : undefined);
}

function shape({ iova, size, address = 0n }: MapFacts, space: SpaceFacts | null): Reason | undefined {
  if (!space) return undefined;
  const unit = BigInt(space.alignment);
  if (size === 0n || ((iova ?? 0n) | size | address) % unit !== 0n) {
    const why = `IOVA, size and memory must be multiples of ${space.alignment} bytes`;
    return { code: "UNALIGNED", why, hint: "Align them; attached hardware asks for whole pages." };
  }
  const inside = iova === null || space.ranges.some(({ start, end }) => iova >= start && iova + size - 1n <= end);
  if (inside) return undefined;
  const list = space.ranges.map(({ start, end }) => `0x${start.toString(16)}-0x${end.toString(16)}`).join(", ");
  return { code: "IOVA_RANGE", why: `only ${list} can be mapped`, hint: "Stay inside, or let the kernel choose." };
}

function memlock(host: Host, what: string, { size }: MapFacts): VfioError {
  const { limited, details, why, hint } = lockedMemoryShortage(host, size, { counted: "user" });
  return new VfioError(`${what}: ${why}`, {
    code: limited ? "MEMLOCK" : "REFUSED",
    errno: ENOMEM,
    details: { ...details, size },
    hint,
  });
}

export function attachRefused(host: Host, device: string, id: number, result: number): VfioError {
  const what = `${device} cannot be attached to ${id}`;
  if (result === -ENOMEM) return attachMemlock(host, what, { device, id });
  const reasons = new Map<number, Reason>([
    [
      ENOENT,
      {
        code: "NO_OBJECT",
        why: `the iommufd has no object ${id}`,
        hint: "Attach to an IOAS of the iommufd it is bound to.",
      },
    ],
    [
      EINVAL,
      {
        code: "PAGE_TABLE",
        why: "it is not bound, its group has another page table, or its IOMMU cannot do what this one needs",
        hint: "Attach all devices of a group to the same one; give devices with other hardware an IOAS, not a table.",
      },
    ],
    [
      EADDRINUSE,
      {
        code: "IOVA_RANGE",
        why: "something is mapped, or allowed, where the hardware has no memory or is reserved",
        hint: "Keep the range of interrupt messages below 4 GiB free; attach first, and look at ranges() then.",
      },
    ],
    [EFAULT, { code: "BAD_MEMORY", why: "memory that was mapped before is not there", hint: PINNABLE }],
  ]);
  return refusal(what, result, { device, id }, reasons.get(-result));
}

/** What is mapped gets pinned at the first attach; how much that is, the kernel does not say. */
function attachMemlock(host: Host, what: string, facts: { device: string; id: number }): VfioError {
  const { limited, details, hint } = lockedMemoryShortage(host, 0, { counted: "user" });
  const why = limited
    ? `all that is mapped is pinned now, and the limit on locked memory is ${details.limit} bytes`
    : "the host is short of memory";
  return new VfioError(`${what}: ${why} (ENOMEM)`, {
    code: limited ? "MEMLOCK" : "REFUSED",
    errno: ENOMEM,
    details: { ...facts, limit: details.limit },
    hint: limited ? RAISE : hint,
  });
}

function refusal(what: string, result: number, details: object, reason?: Reason): VfioError {
  const why = reason ? `${reason.why} (${errnoName(-result)})` : errnoName(-result);
  return new VfioError(`${what}: ${why}`, {
    code: reason?.code ?? "REFUSED",
    errno: -result,
    details: { ...details },
    hint: reason?.hint,
  });
}
