/**
 * Turns an errno of a container call into what a user can act on. Every function here returns the error to throw.
 *
 * The kernel says EPERM, EINVAL or ENODEV for quite different reasons; what can be read of the host tells which.
 */
import { EAGAIN, EINVAL, EMFILE, ENODEV, ENOENT, ENOMEM, ENXIO, EPERM, errnoName, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import {
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../uapi.ts";
import { openDenied } from "./permission.ts";
import { textFile } from "./text-file.ts";

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [VFIO_TYPE1_IOMMU]: "type1",
  [VFIO_SPAPR_TCE_IOMMU]: "sPAPR TCE",
  [VFIO_TYPE1v2_IOMMU]: "type1v2",
  [VFIO_TYPE1_NESTING_IOMMU]: "type1 nesting",
  [VFIO_SPAPR_TCE_v2_IOMMU]: "sPAPR TCE v2",
  [VFIO_NOIOMMU_IOMMU]: "no IOMMU",
};
const UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";

/** Anything without a better explanation. `result` is -errno. */
export function refused(what: string, result: number, details: Record<string, unknown> = {}): VfioError {
  const hints = new Map([
    [EAGAIN, "Somebody else is busy with it (a reset, a driver being bound): try again."],
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
  if (result === -ENOENT || result === -ENODEV || result === -ENXIO) {
    const back = host.arch === "ppc64le" ? "vfio_iommu_spapr_tce" : "vfio_iommu_type1";
    return new VfioError(`there is no ${path} on ${host.name}: the module vfio is not loaded`, {
      code: "NO_CONTAINER_NODE",
      errno: -result,
      details: { path },
      hint: `Load VFIO: modprobe -a vfio-pci ${back}. Inside a container the node has to be passed in.`,
    });
  }
  return openDenied(host, path, result) ?? refused(`${path} cannot be opened`, result, { path });
}

/** `offered` are the types that may be tried. */
export function setIommuRefused(host: Host, type: number, offered: number[], result: number): VfioError {
  const name = typeName(type);
  if (result === -ENODEV) return wrongType(host, type, offered);
  if (result === -EPERM && type === VFIO_NOIOMMU_IOMMU) return withoutIommu(`IOMMU type ${name} cannot be set`);
  if (result === -EPERM && isType1(type)) {
    const what = `IOMMU type ${name} was refused`;
    return remapsInterrupts(host) ? hidden(what, type) : unsafeInterrupts(host, what, { type });
  }
  if (result === -EINVAL) {
    return new VfioError(`IOMMU type ${name} cannot be set: the container has no group, or has a type (EINVAL)`, {
      code: "REFUSED",
      errno: EINVAL,
      details: { type, offered },
      hint: "Put a group into the container first (setContainer), then set the type once.",
    });
  }
  return refused(`IOMMU type ${name} cannot be set`, result, { type, offered });
}

function wrongType(host: Host, type: number, offered: number[]): VfioError {
  const power = host.arch === "ppc64le";
  const usual = power ? [VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU] : [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU];
  const load = `Load it: modprobe ${power ? "vfio_iommu_spapr_tce" : "vfio_iommu_type1"}.`;
  const list = offered.map(typeName).join(", ") || "none";
  return new VfioError(`IOMMU type ${typeName(type)} is not available on this host; it offers ${list}`, {
    code: "WRONG_IOMMU_TYPE",
    errno: ENODEV,
    details: { type, offered },
    hint: usual.includes(type)
      ? load
      : `Set ${usual.map(typeName).join(" or ")} here.${offered.length > 0 ? "" : ` ${load}`}`,
  });
}

/** EPERM of type1 at an attach: messages of the device could raise any interrupt of the host. */
export function unsafeInterrupts(host: Host, what: string, details: Record<string, unknown>): VfioError {
  const allowed = textFile(host, UNSAFE);
  return new VfioError(`${what}: the IOMMU does not remap interrupts, so a guest could raise any of the host's`, {
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    details: { ...details, allowed: allowed === null ? null : allowed === "Y" },
    hint: `Turn interrupt remapping on (x2APIC in the firmware, no intremap=off). To trust every guest instead: echo 1 > ${UNSAFE}.`,
  });
}

/** Chips behind remapping hardware carry it in their names. */
function remapsInterrupts(host: Host): boolean {
  return /\bIR-(?:PCI|IO|HPET|DMAR)/.test(textFile(host, "/proc/interrupts") ?? "");
}

function hidden(what: string, type: number): VfioError {
  return new VfioError(`${what}: the IOMMU does not take a device of the container's groups (EPERM)`, {
    code: "REFUSED",
    errno: EPERM,
    details: { type },
    hint: "The kernel's log has the reason: firmware may demand a fixed mapping (\"direct\" in its group's reserved_regions).",
  });
}

/** A step that only CAP_SYS_RAWIO may take, because nothing will confine the device. */
export function withoutIommu(what: string): VfioError {
  return new VfioError(`${what}: there is no IOMMU, and the right to go without one is missing`, {
    code: "PERMISSION",
    errno: EPERM,
    hint: "Grant CAP_SYS_RAWIO (or run as root), if the device may reach all of the host's memory; better use an IOMMU.",
  });
}

function isType1(type: number): boolean {
  return type === VFIO_TYPE1_IOMMU || type === VFIO_TYPE1v2_IOMMU || type === VFIO_TYPE1_NESTING_IOMMU;
}

function typeName(type: number): string {
  const name = TYPE_NAMES[type];
  return name === undefined ? `${type}` : `${type} (${name})`;
}
