// The IOMMU of a modelled host: which VFIO back ends its kernel has, and how its VFIO is built.
import type { IommuGroup, PciTopology } from "@minivmm/pci";
import { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import { Type1Iommu, type VfioCore, type VfioCoreOptions } from "@minivmm/vfio-core/model";
import type { HostDescription } from "./description.ts";
import { snoopControlOf, type Type1Description } from "./units.ts";

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The sPAPR IOMMU, or null on hosts with another one or none. */
export function installIommu(vfio: VfioCore, { arch, iommu }: HostDescription): SpaprTceIommu | null {
  switch (iommu.kind) {
    case "none":
      // The module is there and answers for itself, though no device can ever be attached.
      if (arch === "x86_64") vfio.registerIommuDriver(new Type1Iommu(vfio.kernel, { topology: vfio.topology }));
      return null;
    case "type1": {
      const { topology, kernel } = vfio;
      vfio.registerIommuDriver(new Type1Iommu(kernel, { ...hardwareOf(iommu, topology), topology }));
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

/**
 * VFIO's part of the kernel's configuration, and what it knows of the hardware. iommufd drives that which type1 has; sPAPR has
 * none for it. Throws ModelHostError MODEL_DESCRIPTION.
 */
export function vfioBuild({ iommu, kernelConfig = {} }: HostDescription, topology: PciTopology): VfioCoreOptions {
  const { iommufd, deviceCdev, container, noiommu } = kernelConfig;
  const type1 = iommu.kind === "type1";
  const hardware = type1 ? hardwareOf(iommu, topology) : { unitOf: () => null };
  return {
    ...(type1 && {
      enforcesSnoop: snoopControlOf(iommu, topology),
      multiMsi: iommu.interruptRemapping ?? true,
    }),
    ...(iommufd && { iommufd: { ...hardware, servesContainer: container === "iommufd" } }),
    ...(deviceCdev && { deviceCdev }),
    ...(noiommu && { noiommu }),
  };
}

/** A group has what all of its functions have. */
function hardwareOf(iommu: Type1Description, topology: PciTopology) {
  const { kind: _, units: __, ...options } = iommu;
  const snoops = snoopControlOf(iommu, topology);
  return {
    ...given(options),
    unitOf: ({ functions }: IommuGroup) => ({ snoopControl: functions.every(snoops) }),
  };
}

/** Without what was left out, so that the drivers' defaults hold. */
function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
}
