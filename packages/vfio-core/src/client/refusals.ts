/**
 * Turns an errno of a VFIO call into what a user can act on. Every function here returns the error to throw.
 *
 * The kernel says EPERM, EBUSY or ENODEV for quite different reasons; sysfs and the group's status tell which.
 */
import { EACCES, EBUSY, EINVAL, EMFILE, ENODEV, ENOENT, ENOMEM, EPERM, errnoName, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { VFIO_NOIOMMU_IOMMU } from "../uapi.ts";
import { groupMembers, groupNode } from "./sysfs.ts";

/** Drivers that leave a group available to user space. */
const HARMLESS = new Set(["vfio-pci", "pci-stub", "pcieport"]);

/** Anything without a better explanation. `result` is -errno. */
export function refused(what: string, result: number, details: Record<string, unknown> = {}): VfioError {
  const hints = new Map([
    [EMFILE, "Raise the limit on open files (ulimit -n)."],
    [ENOMEM, "Raise the limit on locked memory (ulimit -l), or the machine is short of memory."],
  ]);
  return new VfioError(`${what}: ${errnoName(-result)}`, {
    code: "REFUSED",
    errno: -result,
    details,
    hint: hints.get(-result),
  });
}

export function containerOpenRefused(host: Host, result: number): VfioError {
  const path = "/dev/vfio/vfio";
  if (result === -ENOENT || result === -ENODEV) {
    return new VfioError(`${host.name} has no ${path}: VFIO is not available`, {
      code: "NO_CONTAINER_NODE",
      errno: -result,
      details: { path },
      hint: "Load the modules: modprobe vfio-pci vfio_iommu_type1 (on POWER: vfio_iommu_spapr_tce).",
    });
  }
  return permission(path, result) ?? refused(`${path} cannot be opened`, result, { path });
}

export function groupOpenRefused(host: Host, group: number, result: number): VfioError {
  const path = groupNode(host, group);
  if (result === -EPERM && path.includes("noiommu-")) return withoutIommu(`${path} cannot be opened`);
  const members = groupMembers(host, group);
  if (result === -ENOENT || result === -ENODEV) {
    return new VfioError(`${path} does not exist: no device of IOMMU group ${group} is bound to vfio-pci`, {
      code: "NO_GROUP_NODE",
      errno: -result,
      details: { group, members },
      hint: `Bind one to vfio-pci first. The group has ${listMembers(members)}.`,
    });
  }
  if (result === -EBUSY) {
    return new VfioError(`IOMMU group ${group} is in use: ${path} is open already`, {
      code: "GROUP_BUSY",
      errno: EBUSY,
      details: { group, path },
      hint: `Another process or virtual machine has it (fuser ${path} tells which); a group belongs to one at a time.`,
    });
  }
  return permission(path, result) ?? refused(`${path} cannot be opened`, result, { group, path });
}

export function groupNotViable(host: Host, group: number, errno?: number): VfioError {
  const members = groupMembers(host, group);
  const blocking = members.filter(({ driver }) => driver !== null && !HARMLESS.has(driver));
  const who = blocking.map(({ bdf, driver }) => `${bdf} is bound to ${driver}`).join(", ");
  return new VfioError(`IOMMU group ${group} is not viable${who && `: ${who}`}`, {
    code: "GROUP_NOT_VIABLE",
    errno,
    details: { group, members, blocking },
    hint: `All devices of a group move together: unbind ${blocking.map((m) => m.bdf).join(" and ") || "the host's drivers"} or bind to vfio-pci.`,
  });
}

export function setContainerRefused(host: Host, group: number, attached: boolean, result: number): VfioError {
  if (result === -EPERM && groupNode(host, group).includes("noiommu-")) {
    return withoutIommu(`IOMMU group ${group} cannot join the container, or other groups in it have an IOMMU`);
  }
  if (result === -EPERM) return groupNotViable(host, group, EPERM);
  if (result === -EINVAL && attached) {
    return new VfioError(`IOMMU group ${group} has a container already`, {
      code: "GROUP_ATTACHED",
      errno: EINVAL,
      details: { group },
      hint: "Take it out of that one first (unsetContainer).",
    });
  }
  return refused(`IOMMU group ${group} cannot join the container`, result, { group });
}

export function setIommuRefused(type: number, offered: number[], result: number): VfioError {
  if (result === -ENODEV) {
    return new VfioError(
      `IOMMU type ${type} is not available on this host; it offers ${offered.join(", ") || "none"}`,
      {
        code: "WRONG_IOMMU_TYPE",
        errno: ENODEV,
        details: { type, offered },
        hint: "Types: 1 and 3 are type1 and type1v2 (x86, ARM); 2 and 7 are sPAPR v1 and v2 (POWER). Is the module loaded?",
      },
    );
  }
  if (result === -EPERM && type === VFIO_NOIOMMU_IOMMU) return withoutIommu(`IOMMU type ${type} cannot be set`);
  if (result === -EPERM) {
    return new VfioError(`IOMMU type ${type} was refused: the host cannot isolate interrupts`, {
      code: "PERMISSION",
      errno: EPERM,
      details: { type },
      hint: "Interrupt remapping is off. Enable it, or accept the risk with vfio_iommu_type1.allow_unsafe_interrupts=1.",
    });
  }
  return refused(`IOMMU type ${type} cannot be set`, result, { type, offered });
}

/** A step that only CAP_SYS_RAWIO may take, because nothing will confine the device. */
function withoutIommu(what: string): VfioError {
  return new VfioError(`${what}: there is no IOMMU, and the right to go without one is missing`, {
    code: "PERMISSION",
    errno: EPERM,
    hint: "Grant CAP_SYS_RAWIO (or run as root), if the device may reach all of the host's memory; better use an IOMMU.",
  });
}

export function deviceRefused(host: Host, group: number, bdf: string, result: number): VfioError {
  if (result !== -ENODEV)
    return refused(`device ${bdf} of IOMMU group ${group} cannot be opened`, result, { group, bdf });
  const members = groupMembers(host, group);
  const member = members.find((each) => each.bdf === bdf);
  const why = member ? `is bound to ${member.driver ?? "no driver"}` : `is not in IOMMU group ${group}`;
  return new VfioError(`device ${bdf} cannot be opened through VFIO: it ${why}`, {
    code: "DEVICE_NOT_IN_GROUP",
    errno: ENODEV,
    details: { group, bdf, members },
    hint: member ? `Bind it to vfio-pci.` : `The group has ${listMembers(members)}.`,
  });
}

function permission(path: string, result: number): VfioError | null {
  if (result !== -EACCES && result !== -EPERM) return null;
  return new VfioError(`no permission to open ${path}`, {
    code: "PERMISSION",
    errno: -result,
    details: { path },
    hint: `Give the user access to it (chown or a udev rule for ${path}), or run as root.`,
  });
}

function listMembers(members: readonly { bdf: string; driver: string | null }[]): string {
  return members.map(({ bdf, driver }) => `${bdf} (${driver ?? "no driver"})`).join(", ") || "no members";
}
