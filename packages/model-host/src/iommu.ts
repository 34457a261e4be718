// The IOMMU of a modelled host: which VFIO back ends its kernel has.
import { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import { Type1Iommu, type VfioCore } from "@minivmm/vfio-core/model";
import type { HostDescription } from "./description.ts";

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The sPAPR IOMMU, or null on hosts with another one or none. */
export function installIommu(vfio: VfioCore, { iommu }: HostDescription): SpaprTceIommu | null {
  switch (iommu.kind) {
    case "none":
      return null;
    case "type1": {
      const { kind: _, ...options } = iommu;
      vfio.registerIommuDriver(new Type1Iommu(vfio.kernel, { ...given(options), topology: vfio.topology }));
      return null;
    }
    case "spapr": {
      const { kind: _, ...options } = iommu;
      const driver = new SpaprTceIommu(vfio.kernel, given(options));
      vfio.registerIommuDriver(driver);
      return driver;
    }
  }
}

/** Without what was left out, so that the drivers' defaults hold. */
function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
}
