/**
 * Turns an errno of a type1 mapping call into what a user can act on: most reasons share EINVAL, and GET_INFO tells
 * them apart. Every function returns the error to throw.
 */
import { EACCES, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, errnoName, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { lockedMemoryShortage } from "./locked-memory.ts";
import type { Type1Info } from "./type1-info.ts";

export interface DmaRequest {
  readonly iova: bigint;
  readonly size: bigint;
  /** User address of the memory, if there is one in the request. */
  readonly address?: bigint;
}

interface Reason {
  readonly code: string;
  readonly why: string;
  readonly hint: string;
}

/** `info` is null when the container cannot be asked. */
export function mapRefused(host: Host, request: DmaRequest, info: Type1Info | null, result: number): VfioError {
  const what = `${rangeText(request)} cannot be mapped for DMA`;
  if (result === -ENOMEM) return memlock(host, what, request);
  const reason = mapReason(request, info, -result);
  return new VfioError(`${what}: ${reason.why} (${errnoName(-result)})`, {
    code: reason.code,
    errno: -result,
    details: { ...request, ...(reason.code === "IOVA_RANGE" && { ranges: info?.iovaRanges }) },
    hint: reason.hint,
  });
}

/** `kept`: the mappings were to stay and only give up their addresses. */
export function unmapRefused(request: DmaRequest, info: Type1Info | null, result: number, kept = false): VfioError {
  const errno = -result;
  const inside = errno === EINVAL && info ? (kept ? RELEASED : PARTIAL) : UNKNOWN;
  const reason = errno === EBUSY ? EMULATED : (shapeReason(request, info) ?? inside);
  const what = kept ? "cannot give up its user addresses" : "cannot be unmapped";
  return new VfioError(`${rangeText(request)} ${what}: ${reason.why} (${errnoName(errno)})`, {
    code: reason.code,
    errno,
    details: { ...request },
    hint: reason.hint,
  });
}

export function dirtyRefused(what: string, result: number): VfioError {
  const old = result === -EACCES;
  return new VfioError(`${what}: ${old ? "type 1 has no dirty page tracking" : errnoName(-result)}`, {
    code: old ? "TYPE1_VERSION" : "REFUSED",
    errno: -result,
    hint: old
      ? "Set type 3 (TYPE1v2) instead."
      : "Start tracking first; ask for whole mappings, in multiples of the smallest page.",
  });
}

const PARTIAL: Reason = {
  code: "PARTIAL_UNMAP",
  why: "the range starts or ends inside a mapping, and mappings are not split",
  hint: "Unmap with the address and size that were mapped, or a range that covers whole mappings.",
};
const RELEASED: Reason = {
  code: "PARTIAL_UNMAP",
  why: "the range cuts a mapping, or an address in it was given up already",
  hint: "Give each mapping a new address (updateAddress) before it is released again.",
};
const EMULATED: Reason = {
  code: "REFUSED",
  why: "a mediated device may use the memory at any time",
  hint: "User addresses cannot be given up while a mediated device is in the container.",
};
const UNKNOWN: Reason = {
  code: "REFUSED",
  why: "the kernel does not say why",
  hint: "Is the container's IOMMU type set? Mapping needs a group and a type.",
};

const BY_ERRNO: Readonly<Record<number, Reason>> = {
  [EEXIST]: {
    code: "OVERLAP",
    why: "part of it is mapped already",
    hint: "Unmap that first; a mapping cannot be replaced or extended.",
  },
  [ENOSPC]: {
    code: "MAPPING_LIMIT",
    why: "the container has as many mappings as it may have",
    hint: "Use fewer and larger mappings, or raise the parameter dma_entry_limit of vfio_iommu_type1.",
  },
  [EFAULT]: {
    code: "BAD_MEMORY",
    why: "the memory is not there, or does not allow the access",
    hint: "All of it must be mapped in this process, writable if the device may write, and of a kind that can be pinned.",
  },
  [ENOENT]: {
    code: "NO_MAPPING",
    why: "there is no mapping to give another address to",
    hint: "Only a mapping whose address was given up takes a new one, with the same range.",
  },
};

function mapReason(request: DmaRequest, info: Type1Info | null, errno: number): Reason {
  return BY_ERRNO[errno] ?? shapeReason(request, info) ?? windowReason(request, info) ?? UNKNOWN;
}

/** Sizes and addresses that no container takes. */
function shapeReason({ iova, size, address = 0n }: DmaRequest, info: Type1Info | null): Reason | null {
  if (size === 0n && info) return { code: "UNALIGNED", why: "it is empty", hint: "Give a size of at least one page." };
  if (iova + size > 1n << 64n || address + size > 1n << 64n) {
    return { code: "IOVA_RANGE", why: "it goes beyond 64 bits", hint: "Check address and size." };
  }
  if (!info) return null;
  const unit = BigInt(info.pageSize);
  if ((iova | size | address) % unit === 0n) return null;
  return {
    code: "UNALIGNED",
    why: `IOVA, size and memory must be multiples of ${info.pageSize} bytes`,
    hint: "Align them to the smallest page of info().",
  };
}

function windowReason({ iova, size }: DmaRequest, info: Type1Info | null): Reason | null {
  const ranges = info?.iovaRanges ?? [];
  const inside = ranges.some(({ start, end }) => iova >= start && iova + size - 1n <= end);
  if (inside || ranges.length === 0) return null;
  const list = ranges.map(({ start, end }) => `${hex(start)}-${hex(end)}`).join(", ");
  return {
    code: "IOVA_RANGE",
    why: `the IOMMU maps only ${list}`,
    hint: "Stay inside one of these ranges; the gap below 4 GiB is where interrupts are written to.",
  };
}

function memlock(host: Host, what: string, request: DmaRequest): VfioError {
  const { limited, details, why, hint } = lockedMemoryShortage(host, request.size);
  return new VfioError(`${what}: ${why}`, {
    code: limited ? "MEMLOCK" : "REFUSED",
    errno: ENOMEM,
    details: { ...request, ...details },
    hint,
  });
}

function rangeText({ iova, size }: DmaRequest): string {
  return `the range of ${size} bytes at IOVA ${hex(iova)}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
