// Attributes of the KVM-VFIO device. Source: include/uapi/linux/kvm.h, Documentation/virt/kvm/devices/vfio.rst.

import { s32, struct } from "@minivmm/host";

/** The only attribute group; today's name is KVM_DEV_VFIO_FILE. */
export const KVM_DEV_VFIO_GROUP = 1;
export const KVM_DEV_VFIO_FILE = KVM_DEV_VFIO_GROUP;
export const KVM_DEV_VFIO_GROUP_ADD = 1;
export const KVM_DEV_VFIO_FILE_ADD = KVM_DEV_VFIO_GROUP_ADD;
export const KVM_DEV_VFIO_GROUP_DEL = 2;
export const KVM_DEV_VFIO_FILE_DEL = KVM_DEV_VFIO_GROUP_DEL;
export const KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE = 3;

/** Value of ADD and DEL: one descriptor. */
export const kvm_vfio_file = struct("int32_t", { fd: s32 });

/** Value of SET_SPAPR_TCE. */
export const kvm_vfio_spapr_tce = struct("kvm_vfio_spapr_tce", { groupfd: s32, tablefd: s32 });
