// The IOMMU of a modelled host: which VFIO back ends its kernel has.
import { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import type { VfioCore } from "@minivmm/vfio-core/model";
import type { HostDescription } from "./description.ts";

export function installIommu(vfio: VfioCore, { iommu }: HostDescription): void {
  if (iommu.kind === "spapr") vfio.registerIommuDriver(new SpaprTceIommu(vfio.kernel, { platform: iommu.platform }));
}
