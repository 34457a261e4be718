/**
 * The file behind /dev/iommu, and behind /dev/vfio/vfio where iommufd serves it. Numbers outside iommufd's own range are a
 * VFIO container's. Source: iommufd_fops_ioctl in drivers/iommu/iommufd/main.c.
 */
import { EINVAL, ENOTTY } from "@minivmm/host";
import type { FileOps, IoctlCall, OpenFile } from "@minivmm/host/model";
import { IOMMUFD_CMD_BASE, type IommufdCommand } from "../../uapi-iommufd.ts";
import type { AccountMode } from "./accounting.ts";
import type { Execute } from "./command.ts";
import { containerIoctl } from "./compat.ts";
import { IommufdContext, type IommufdKernel } from "./context.ts";
import { getHwInfo } from "./hw-info.ts";
import { hwptAlloc, hwptGetDirtyBitmap, hwptInvalidate, hwptSetDirtyTracking } from "./hwpt-commands.ts";
import { ioasAlloc, ioasAllowIovas, ioasCopy, ioasIovaRanges, ioasMap, ioasUnmap } from "./ioas-commands.ts";
import { destroy, faultQueueAlloc, option, vfioIoas } from "./options.ts";

const COMMANDS: Record<IommufdCommand, Execute> = {
  IOMMU_DESTROY: destroy,
  IOMMU_IOAS_ALLOC: ioasAlloc,
  IOMMU_IOAS_ALLOW_IOVAS: ioasAllowIovas,
  IOMMU_IOAS_COPY: ioasCopy,
  IOMMU_IOAS_IOVA_RANGES: ioasIovaRanges,
  IOMMU_IOAS_MAP: ioasMap,
  IOMMU_IOAS_UNMAP: ioasUnmap,
  IOMMU_OPTION: option,
  IOMMU_VFIO_IOAS: vfioIoas,
  IOMMU_HWPT_ALLOC: hwptAlloc,
  IOMMU_GET_HW_INFO: getHwInfo,
  IOMMU_HWPT_SET_DIRTY_TRACKING: hwptSetDirtyTracking,
  IOMMU_HWPT_GET_DIRTY_BITMAP: hwptGetDirtyBitmap,
  IOMMU_HWPT_INVALIDATE: hwptInvalidate,
  IOMMU_FAULT_QUEUE_ALLOC: faultQueueAlloc,
};
const COUNT = Object.keys(COMMANDS).length;

export class IommufdFile implements FileOps {
  readonly kind = "iommufd";
  readonly context: IommufdContext;
  readonly #commands: ReadonlyMap<number, Execute>;

  constructor(host: IommufdKernel, accountMode: AccountMode) {
    this.context = new IommufdContext(host, accountMode);
    this.#commands = new Map(Object.entries(COMMANDS).map(([name, run]) => [host.ioctls[name as IommufdCommand], run]));
  }

  ioctl(call: IoctlCall): number {
    const { context } = this;
    const nr = (call.request & 0xff) - IOMMUFD_CMD_BASE;
    if (nr < 0 || nr >= COUNT) return containerIoctl(context, call);
    // The struct's size is read before the rest of the number is looked at.
    call.arg.copyIn(4);
    return this.#commands.get(call.request)?.({ context, call, file: call.file }) ?? -ENOTTY;
  }

  read(): number {
    return -EINVAL;
  }
  write(): number {
    return -EINVAL;
  }
  pread(): number {
    return -EINVAL;
  }
  pwrite(): number {
    return -EINVAL;
  }

  /** No device is bound any more; those hold the file. */
  release(): void {
    this.context.compatIoas = null;
    this.context.objects.destroyAll();
  }
}

/** The iommufd behind a file, or null for another kind of file. */
export function iommufdOf(file: OpenFile): IommufdContext | null {
  return file.ops instanceof IommufdFile ? file.ops.context : null;
}
