/** The error of this package: what a VFIO user could not do, on what, why, and what would help. */
import { MinivmmError } from "@minivmm/host";

/**
 * Codes. Before anything is opened: NO_DEVICE, NO_IOMMU_GROUP, NOT_BOUND, DEVICE_HELD. Nodes: NO_GROUP_NODE,
 * NO_CONTAINER_NODE, NO_IOMMUFD_NODE, NO_DEVICE_NODE, PERMISSION, GROUP_BUSY. Groups and containers: GROUP_NOT_VIABLE,
 * GROUP_ATTACHED, DEVICES_OPEN, DEVICE_NOT_IN_GROUP, VF_TOKEN, WRONG_IOMMU_TYPE, NO_IOMMU_TYPE, UNSAFE_INTERRUPTS,
 * FIRMWARE_MAPPING, API_VERSION. Devices: NOT_MAPPABLE, IRQ_MODE, IRQ_RANGE, IRQ_BUSY, IRQ_EVENTFD, NO_RESET,
 * RESET_FAILED, RESET_BUSY, SIGBUS. Mapping: MEMLOCK, OVERLAP, NO_MAPPING, IOVA_RANGE, UNALIGNED, MAPPING_LIMIT,
 * BAD_MEMORY, PARTIAL_UNMAP, TYPE1_VERSION. iommufd: NOT_IOMMUFD, DEVICE_BUSY, NO_OBJECT, IN_USE, PAGE_TABLE. OPTION
 * for the model's, and REFUSED for anything else.
 */
export class VfioError extends MinivmmError {}
