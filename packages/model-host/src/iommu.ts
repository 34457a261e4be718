// The IOMMU of a modelled host: which VFIO back ends its kernel has, and how its VFIO is built.
import { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import { Type1Iommu, type VfioCore, type VfioCoreOptions } from "@minivmm/vfio-core/model";
import type { HostDescription } from "./description.ts";

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The sPAPR IOMMU, or null on hosts with another one or none. */
export function installIommu(vfio: VfioCore, { arch, iommu }: HostDescription): SpaprTceIommu | null {
  switch (iommu.kind) {
    case "none":
      // The module is there and answers for itself, though no device can ever be attached.
      if (arch === "x86_64") vfio.registerIommuDriver(new Type1Iommu(vfio.kernel, { topology: vfio.topology }));
      return null;
    case "type1": {
      vfio.registerIommuDriver(new Type1Iommu(vfio.kernel, { ...hardwareOf(iommu), topology: vfio.topology }));
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

/** VFIO's part of the kernel's configuration. iommufd drives the hardware that type1 has; sPAPR has none for it. */
export function vfioBuild({ iommu, kernelConfig = {} }: HostDescription): VfioCoreOptions {
  const { iommufd, deviceCdev, container, noiommu } = kernelConfig;
  const hardware = iommu.kind === "type1" ? hardwareOf(iommu) : { unitOf: () => null };
  return {
    ...(iommufd && { iommufd: { ...hardware, servesContainer: container === "iommufd" } }),
    ...(deviceCdev && { deviceCdev }),
    ...(noiommu && { noiommu }),
  };
}

function hardwareOf({ kind: _, ...options }: Extract<HostDescription["iommu"], { kind: "type1" }>) {
  return given(options);
}

/** Without what was left out, so that the drivers' defaults hold. */
function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
}
