// VFIO_IOMMU_SPAPR_TCE_GET_INFO. The caller's argsz decides whether the dynamic window part is copied back.
// Source: tce_iommu_ioctl. The values are those of the group that was attached last.
import { EINVAL, ENXIO } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { VFIO_IOMMU_SPAPR_INFO_DDW, vfio_iommu_spapr_tce_info } from "../uapi.ts";
import { pageSizesBitmap } from "./platform.ts";
import type { TableGroup } from "./table-group.ts";

const SHORT = vfio_iommu_spapr_tce_info.offsets.ddw;

export function getInfo(call: IoctlCall, group: TableGroup | undefined, v2: boolean): number {
  if (!group) return -ENXIO;
  const argsz = new DataView(call.arg.copyIn(SHORT).buffer).getUint32(0, true);
  if (argsz < SHORT) return -EINVAL;
  const { platform } = group;
  const dynamic = v2 && platform.maxDynamicWindows > 0;
  const info = vfio_iommu_spapr_tce_info.encode({
    argsz,
    flags: dynamic ? VFIO_IOMMU_SPAPR_INFO_DDW : 0,
    dma32_window_start: platform.tce32Start,
    dma32_window_size: platform.tce32Size,
    ddw: {
      pgsizes: dynamic ? pageSizesBitmap(platform) : 0n,
      max_dynamic_windows_supported: dynamic ? platform.maxDynamicWindows : 0,
      levels: dynamic ? platform.maxLevels : 0,
    },
  });
  call.arg.copyOut(info.subarray(0, argsz >= vfio_iommu_spapr_tce_info.size ? info.length : SHORT));
  return 0;
}
