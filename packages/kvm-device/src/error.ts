// Errors of the KVM-VFIO client, in the words of somebody who assigns a device.

import {
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENXIO,
  EPERM,
  errnoName,
  MinivmmError,
} from "@minivmm/host";

export class KvmDeviceError extends MinivmmError {}

type Causes = Record<number, { why: string; hint: string }>;

const OTHER_PROCESS = {
  [EIO]: { why: "the VM belongs to another process", hint: "Use the VM in the process that created it." },
};

const CAUSES: Record<string, Causes> = {
  create: {
    [EBUSY]: { why: "the VM has a KVM-VFIO device already", hint: "Use that one: there is one for each VM." },
    [ENODEV]: { why: "the kernel has no such device type", hint: "Use a kernel built with CONFIG_KVM_VFIO." },
    ...OTHER_PROCESS,
  },
  add: {
    [EBADF]: { why: "the descriptor is not open", hint: "Open /dev/vfio/N first." },
    [EINVAL]: {
      why: "the descriptor is not a VFIO group, or (before Linux 6.0) the group has no container with an IOMMU",
      hint: "Add the group's descriptor, after SET_IOMMU.",
    },
    [EEXIST]: { why: "it is registered already", hint: "Register each file once." },
    [EPERM]: { why: "the group has no IOMMU", hint: "Groups in noiommu mode cannot be given to KVM." },
    ...OTHER_PROCESS,
  },
  remove: {
    [EBADF]: { why: "the descriptor is not open", hint: "Remove a file before closing it, or close the device." },
    [ENOENT]: { why: "it was not registered", hint: "Remove what was added, through any descriptor of the same file." },
    ...OTHER_PROCESS,
  },
  setSpaprTce: {
    [EBADF]: { why: "a descriptor is not open", hint: "Pass the group's and the TCE table's descriptors." },
    [ENOENT]: { why: "the group was not registered", hint: "Add the group first." },
    [ENXIO]: { why: "this kernel has no sPAPR TCE IOMMU", hint: "Leave it out: DMA works without acceleration." },
    [EINVAL]: {
      why: "the table is not one of this VM, or no window of the container has its page size, start and size",
      hint: "Create the container's window before, with the guest window's geometry.",
    },
    ...OTHER_PROCESS,
  },
};

/** A KvmDeviceError for a refused operation on descriptors. */
export function refused(
  operation: keyof typeof CAUSES,
  errno: number,
  details: Record<string, unknown>,
): KvmDeviceError {
  const cause = CAUSES[operation]?.[errno];
  const on = Object.entries(details).map(([key, value]) => `${key} ${String(value)}`);
  const what = operation === "create" ? "cannot create the KVM-VFIO device" : `KVM-VFIO ${operation} failed`;
  const where = on.length > 0 ? ` for ${on.join(", ")}` : "";
  return new KvmDeviceError(`${what}${where}: ${cause?.why ?? errnoName(errno)}`, {
    code: `KVM_VFIO_${errnoName(errno)}`,
    errno,
    details: { operation, ...details },
    ...(cause ? { hint: cause.hint } : {}),
  });
}
