// The IOMMU of a modelled host: which VFIO back ends its kernel has.
import { SpaprTceIommu, type SpaprTceIommuOptions } from "@minivmm/spapr-iommu/model";
import type { VfioCore } from "@minivmm/vfio-core/model";
import type { HostDescription } from "./description.ts";

/** The sPAPR IOMMU, or null on hosts without one. */
export function installIommu(vfio: VfioCore, { iommu }: HostDescription): SpaprTceIommu | null {
  if (iommu.kind !== "spapr") return null;
  const { kind: _kind, ...options } = iommu;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const driver = new SpaprTceIommu(vfio.kernel, Object.fromEntries(given) as SpaprTceIommuOptions);
  vfio.registerIommuDriver(driver);
  return driver;
}
