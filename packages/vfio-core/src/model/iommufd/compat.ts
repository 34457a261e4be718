/**
 * An iommufd as VFIO's container: type1's ioctls on the compat IOAS, and what groups do to make it one.
 *
 * Where it differs from the container: SET_IOMMU may be repeated and is ENODEV before a group came; no VADDR, no dirty
 * pages; unmapping part of a mapping is ENOENT; version 1 gets its free cutting by giving up large pages.
 * Source: drivers/iommu/iommufd/vfio_compat.c.
 */
import { EINVAL, ENODEV, ENOTTY, EPERM } from "@minivmm/host";
import { type IoctlCall, KernelError } from "@minivmm/host/model";
import * as uapi from "../../uapi.ts";
import { compatInfo } from "./compat-info.ts";
import type { IommufdContext } from "./context.ts";
import { Ioas } from "./ioas.ts";
import { unmapRange, userSlice } from "./ioas-commands.ts";
import { U64_MAX } from "./ranges.ts";

const PROT = uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE;

export function containerIoctl(context: IommufdContext, call: IoctlCall): number {
  const { vfioIoctls, type1Ioctls } = context.host;
  switch (call.request) {
    case vfioIoctls.VFIO_GET_API_VERSION:
      return uapi.VFIO_API_VERSION;
    case vfioIoctls.VFIO_CHECK_EXTENSION:
      return checkExtension(context, call.arg.number);
    case vfioIoctls.VFIO_SET_IOMMU:
      return setIommu(context, call);
    case type1Ioctls.VFIO_IOMMU_GET_INFO:
      return compatInfo(context, call.arg);
    case type1Ioctls.VFIO_IOMMU_MAP_DMA:
      return mapDma(context, call);
    case type1Ioctls.VFIO_IOMMU_UNMAP_DMA:
      return unmapDma(context, call);
    default:
      return -ENOTTY;
  }
}

/** A group with an IOMMU comes: there is an address space for it. Throws KernelError EINVAL after groups without one. */
export function createCompatIoas(context: IommufdContext): void {
  if (context.noiommuMode) throw new KernelError(EINVAL, "groups with and without an IOMMU cannot share a container");
  context.compatIoas ??= new Ioas(context);
}

/** A group without an IOMMU comes. Throws KernelError EINVAL when there is an address space already. */
export function setNoiommu(context: IommufdContext): void {
  if (context.compatIoas) throw new KernelError(EINVAL, "groups with and without an IOMMU cannot share a container");
  context.noiommuMode = true;
}

/** Extensions that do not exist are 0; coherency is unknown (ENODEV) before there is an address space. */
function checkExtension(context: IommufdContext, ext: number): number {
  switch (ext) {
    case uapi.VFIO_TYPE1_IOMMU:
    case uapi.VFIO_TYPE1v2_IOMMU:
    case uapi.VFIO_UNMAP_ALL:
      return context.noiommuMode ? 0 : 1;
    case uapi.VFIO_NOIOMMU_IOMMU:
      return context.host.noiommu ? 1 : 0;
    case uapi.VFIO_DMA_CC_IOMMU: {
      if (!context.compatIoas) return -ENODEV;
      return Ioas.compat(context).table.domains.every(({ enforcesSnoop }) => enforcesSnoop) ? 1 : 0;
    }
    default:
      return 0;
  }
}

function setIommu(context: IommufdContext, { arg, process }: IoctlCall): number {
  const type = arg.number;
  if (context.host.noiommu && type === uapi.VFIO_NOIOMMU_IOMMU && context.noiommuMode) {
    return process.has("SYS_RAWIO") ? 0 : -EPERM;
  }
  const known = type === uapi.VFIO_TYPE1_IOMMU || type === uapi.VFIO_TYPE1v2_IOMMU;
  if (!known || context.noiommuMode) return -EINVAL;
  const { table } = Ioas.compat(context);
  if (type === uapi.VFIO_TYPE1_IOMMU) table.disableLargePages();
  return 0;
}

function mapDma(context: IommufdContext, { arg, process }: IoctlCall): number {
  const struct = uapi.vfio_iommu_type1_dma_map;
  const { argsz, flags, vaddr, iova, size } = struct.decode(arg.copyIn(struct.size));
  if (argsz < struct.size || (flags & ~PROT) !== 0) return -EINVAL;
  const { table } = Ioas.compat(context);
  const prot = flags & PROT;
  table.map([userSlice(context, process, vaddr, size, prot)], size, prot, iova);
  return 0;
}

/** `size` is written back even when the call fails, unless a mapping could not be cut. */
function unmapDma(context: IommufdContext, { arg }: IoctlCall): number {
  const struct = uapi.vfio_iommu_type1_dma_unmap;
  const value = struct.decode(arg.copyIn(struct.size));
  const { argsz, flags, iova, size } = value;
  if (argsz < struct.size || (flags & ~uapi.VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return -EINVAL;
  const { table } = Ioas.compat(context);
  let gone: { bytes: bigint; errno: number };
  if ((flags & uapi.VFIO_DMA_UNMAP_FLAG_ALL) !== 0) {
    if (iova !== 0n || size !== 0n) return -EINVAL;
    gone = table.unmap(0n, U64_MAX);
  } else {
    if (!table.largePages) {
      table.cut(BigInt.asUintN(64, iova + size - 1n));
      if (iova !== 0n) table.cut(iova - 1n);
    }
    gone = unmapRange(table, iova, size);
  }
  arg.copyOut(struct.encode({ ...value, size: gone.bytes }));
  return gone.errno === 0 ? 0 : -gone.errno;
}
