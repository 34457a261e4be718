// Are VFIO's parts there and may this user have them: the container's node, an IOMMU back end for this VMM, vfio-pci?
// The back end is asked of the container itself (CHECK_EXTENSION), which needs no group.
// Source: drivers/vfio/container.c; which types the VMM works with: type1 (x86) and sPAPR TCE (POWER).
import { containerObstacle, isVfioPciDriver } from "@minivmm/pci-hotreset";
import {
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioError,
} from "@minivmm/vfio-core";
import { type CheckResult, type Examination, fail, pass, warn } from "./check.ts";

const NODE = "/dev/vfio/vfio";

export function checkContainer({ host }: Examination): CheckResult {
  const obstacle = containerObstacle(host);
  const details = { node: NODE, openable: obstacle === null };
  if (obstacle === null) return pass("vfio-container", `${NODE} can be opened`, details);
  const [command] = obstacle.commands;
  return fail(
    "vfio-container",
    obstacle.message,
    command === undefined ? obstacle.remedy : `${obstacle.remedy}: ${command}`,
    details,
  );
}

export function checkBackEnd({ host }: Examination): CheckResult {
  const id = "vfio-iommu";
  const power = host.arch === "ppc64le";
  const module = power ? "vfio_iommu_spapr_tce" : "vfio_iommu_type1";
  const wanted = power ? [VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU] : [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU];
  const types = typesOf(host);
  const loaded = host.exists(`/sys/module/${module}`);
  const details = { module, loaded, types };
  if (types === null) {
    if (loaded) return pass(id, `${module} is loaded; its container cannot be asked`, details);
    return warn(id, `not known to be there: ${module}`, `load it: modprobe ${module}`, details);
  }
  if (wanted.some((type) => types.includes(type))) return pass(id, `${module} answers`, details);
  return fail(id, `${module} does not answer`, `load it: modprobe ${module}`, details);
}

/** VFIO_*_IOMMU that the container offers; null when it cannot be opened. */
function typesOf(host: Examination["host"]): number[] | null {
  try {
    using container = VfioContainer.open(host);
    return container.iommuTypes();
  } catch (error) {
    if (error instanceof VfioError) return null;
    throw error;
  }
}

export function checkDriver({ host }: Examination): CheckResult {
  const listed = host.readdir("/sys/bus/pci/drivers");
  const drivers = typeof listed === "number" ? [] : listed.filter(isVfioPciDriver);
  if (drivers.length > 0) return pass("vfio-pci", `registered: ${drivers.join(", ")}`, { drivers });
  return fail("vfio-pci", "the PCI driver vfio-pci is not registered", "load it: modprobe vfio-pci", { drivers });
}
