/** IOMMU_IOAS_*: address spaces, what may be mapped in them, mapping, copying, unmapping. Source: iommufd/ioas.c. */
import { EINVAL, EMSGSIZE, ENOENT, EOPNOTSUPP, EOVERFLOW } from "@minivmm/host";
import { KernelError, type ModelProcess, type UserArg } from "@minivmm/host/model";
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from "../../uapi.ts";
import * as uapi from "../../uapi-iommufd.ts";
import type { AccountMode } from "./accounting.ts";
import type { Slice } from "./area.ts";
import { command } from "./command.ts";
import type { IommufdContext } from "./context.ts";
import { Ioas } from "./ioas.ts";
import { UserPages } from "./pages.ts";
import { type Range, RangeSet, U64_MAX } from "./ranges.ts";

const PROT = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;
const MAP_FLAGS = PROT | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

export const ioasAlloc = command(uapi.iommu_ioas_alloc, 12, (value, { context, respond }) => {
  if (value.flags !== 0) return -EOPNOTSUPP;
  const ioas = new Ioas(context);
  value.out_ioas_id = ioas.id;
  try {
    respond();
  } catch (error) {
    context.objects.abort(ioas);
    throw error;
  }
  return 0;
});

export const ioasIovaRanges = command(uapi.iommu_ioas_iova_ranges, 32, (value, { context, call, respond }) => {
  if (value.__reserved !== 0) return -EOPNOTSUPP;
  const { space } = Ioas.get(context, value.ioas_id).table;
  const room = value.num_iovas;
  const ranges = space.usable();
  const list = uapi.iommu_iova_range;
  const array = call.arg.at(value.allowed_iovas);
  ranges.slice(0, room).forEach(({ first, last }, i) => {
    array.copyOut(list.encode({ start: first, last }), i * list.size);
  });
  value.num_iovas = ranges.length;
  value.out_iova_alignment = space.alignment;
  respond();
  return ranges.length > room ? -EMSGSIZE : 0;
});

export const ioasAllowIovas = command(uapi.iommu_ioas_allow_iovas, 24, (value, { context, call }) => {
  if (value.__reserved !== 0) return -EOPNOTSUPP;
  const { space } = Ioas.get(context, value.ioas_id).table;
  space.allow(readRanges(call.arg.at(value.allowed_iovas), value.num_iovas));
  return 0;
});

export const ioasMap = command(uapi.iommu_ioas_map, 40, (value, { context, call, respond }) => {
  const { flags, iova, length } = value;
  if ((flags & ~MAP_FLAGS) !== 0 || value.__reserved !== 0) return -EOPNOTSUPP;
  if (iova === U64_MAX || length === U64_MAX) return -EOVERFLOW;
  if ((flags & PROT) === 0) return -EINVAL;
  const { table } = Ioas.get(context, value.ioas_id);
  const prot = protOf(flags);
  const slice = userSlice(context, call.process, value.user_va, length, prot);
  value.iova = table.map([slice], length, prot, fixedIova(flags, iova));
  respond();
  return 0;
});

export const ioasCopy = command(uapi.iommu_ioas_copy, 40, (value, { context, respond }) => {
  const { flags, length, dst_iova, src_iova } = value;
  if ((flags & ~MAP_FLAGS) !== 0) return -EOPNOTSUPP;
  if (length === U64_MAX || src_iova === U64_MAX || dst_iova === U64_MAX) return -EOVERFLOW;
  if ((flags & PROT) === 0) return -EINVAL;
  const slices = Ioas.get(context, value.src_ioas_id).table.slices(src_iova, length);
  const { table } = Ioas.get(context, value.dst_ioas_id);
  value.dst_iova = table.map(slices, length, protOf(flags), fixedIova(flags, dst_iova));
  respond();
  return 0;
});

export const ioasUnmap = command(uapi.iommu_ioas_unmap, 24, (value, { context, respond }) => {
  const { table } = Ioas.get(context, value.ioas_id);
  const { iova, length } = value;
  if (iova === 0n && length === U64_MAX) {
    value.length = table.unmap(0n, U64_MAX).bytes;
  } else {
    if (iova === U64_MAX || length === U64_MAX) return -EOVERFLOW;
    const { bytes, errno } = unmapRange(table, iova, length);
    if (errno !== 0) return -errno;
    if (bytes === 0n) return -ENOENT;
    value.length = bytes;
  }
  respond();
  return 0;
});

/** The areas inside a range. `errno`: EINVAL, EOVERFLOW, or ENOENT for one that is only partly inside. */
export function unmapRange(table: Ioas["table"], iova: bigint, length: bigint): { bytes: bigint; errno: number } {
  if (length === 0n) return { bytes: 0n, errno: EINVAL };
  const last = iova + length - 1n;
  return last > U64_MAX ? { bytes: 0n, errno: EOVERFLOW } : table.unmap(iova, last);
}

/**
 * Memory of the calling process, to be mapped; nothing is looked up before hardware needs it. `mode` says who is charged.
 * Throws KernelError EINVAL, EOVERFLOW.
 */
export function userSlice(
  { host, accountMode }: IommufdContext,
  process: ModelProcess,
  address: bigint,
  length: bigint,
  prot: number,
  mode: AccountMode = accountMode,
): Slice {
  if (length === 0n || length > U64_MAX - BigInt(process.pageSize)) throw new KernelError(EINVAL);
  if (address + length > U64_MAX) throw new KernelError(EOVERFLOW);
  const writable = (prot & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
  const charge = host.accounts.chargeFor(process, mode);
  const pages = new UserPages({ process, address, writable, charge, physical: host.kernel.physical });
  return { pages, startByte: address - pages.address, length };
}

function protOf(flags: number): number {
  const read = (flags & uapi.IOMMU_IOAS_MAP_READABLE) !== 0 ? VFIO_DMA_MAP_FLAG_READ : 0;
  return read | ((flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0 ? VFIO_DMA_MAP_FLAG_WRITE : 0);
}

function fixedIova(flags: number, iova: bigint): bigint | null {
  return (flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA) !== 0 ? iova : null;
}

function readRanges(array: UserArg, count: number): RangeSet<Range> {
  const { size, decode } = uapi.iommu_iova_range;
  const ranges = new RangeSet<Range>();
  for (let i = 0; i < count; i++) {
    const { start: first, last } = decode(array.copyIn(size, i * size));
    if (first >= last || ranges.overlap(first, last)) throw new KernelError(EINVAL);
    ranges.add({ first, last });
  }
  return ranges;
}
