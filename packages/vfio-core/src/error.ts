/** The error of this package: what a VFIO user could not do, on what, why, and what would help. */
import { MinivmmError } from "@minivmm/host";

/**
 * Codes: NO_DEVICE, NO_IOMMU_GROUP, NO_GROUP_NODE, NO_CONTAINER_NODE, PERMISSION, GROUP_BUSY, GROUP_NOT_VIABLE,
 * GROUP_ATTACHED, DEVICES_OPEN, DEVICE_NOT_IN_GROUP, WRONG_IOMMU_TYPE, API_VERSION, SIGBUS, OPTION, MEMLOCK,
 * OVERLAP, NO_MAPPING, IOVA_RANGE, UNALIGNED, MAPPING_LIMIT, BAD_MEMORY, PARTIAL_UNMAP, NO_IOMMU_TYPE, TYPE1_VERSION,
 * and REFUSED for anything else.
 */
export class VfioError extends MinivmmError {}
