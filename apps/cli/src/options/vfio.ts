// -device vfio-pci: which function of the host, and on which way it comes: its group and a container, or an iommufd and the
// function's own node. Either may be opened by somebody with the right to and passed in as a descriptor.
import { formatBdf, parseBdf } from "@minivmm/pci/bdf";
import { usageError } from "../errors.ts";

import type { IommufdRequest, Iommufds } from "./iommufd.ts";
import type { Placed } from "./placed.ts";
import type { Properties } from "./properties.ts";

export interface VfioRequest extends Placed {
  readonly driver: "vfio-pci";
  /** Full address on the host, "0001:01:00.0". */
  readonly host: string;
  /** Inherited descriptor of the device's group: `vfiofd=`. */
  readonly groupFd?: number;
  /**
   * Inherited descriptor of a container, or of an iommufd used as one: `uiommufd=`. Devices that name the same one share an
   * IOMMU domain.
   */
  readonly containerFd?: number;
  /** Name of a container of the VM's own; devices with different names have different IOMMU domains. */
  readonly container?: string;
  /** Devices of the same one share an IOMMU domain. */
  readonly iommufd?: IommufdRequest;
  /** With `iommufd`: inherited descriptor of the function's node, /dev/vfio/devices/vfioN: `fd=`. */
  readonly deviceFd?: number;
}

/** Throws CliError USAGE_OPTION. */
export function readVfio(properties: Properties, placed: Placed, iommufds: Iommufds): VfioRequest {
  const { owner } = properties;
  const host = hostAddress(properties);
  const groupFd = properties.descriptor("vfiofd");
  const containerFd = properties.descriptor("uiommufd");
  const container = properties.text("container");
  const iommufd = properties.text("iommufd");
  const deviceFd = properties.descriptor("fd");
  if (containerFd !== undefined && container !== undefined) {
    throw usageError(`${owner}: uiommufd and container are both given`, "a device is in one container");
  }
  if (iommufd === undefined) {
    if (deviceFd !== undefined) {
      throw usageError(`${owner}: fd=${deviceFd} needs iommufd=`, "a group's descriptor is vfiofd=");
    }
  } else {
    const other = Object.entries({ vfiofd: groupFd, uiommufd: containerFd, container }).find(
      ([, value]) => value !== undefined,
    );
    if (other !== undefined) {
      throw usageError(
        `${owner}: iommufd and ${other[0]} are both given`,
        "with an iommufd there is neither group nor container",
      );
    }
  }
  const optional = {
    groupFd,
    containerFd,
    container,
    iommufd: iommufd === undefined ? undefined : iommufds.use(owner, iommufd),
    deviceFd,
  };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  return { driver: "vfio-pci", host, ...given, ...placed };
}

/** `host=` is an address, `sysfsdev=` the folder of the function in sysfs. */
function hostAddress(properties: Properties): string {
  const { owner } = properties;
  const folder = properties.text("sysfsdev");
  if (folder === undefined) {
    const text = properties.required("host", "0001:01:00.0");
    return (
      address(text) ??
      notAnAddress(
        `${owner}: host=${text} is not a PCI address`,
        "write [domain:]bus:device.function, for example 0001:01:00.0; `minivmm devices` lists them",
        text,
      )
    );
  }
  if (properties.text("host") !== undefined) {
    throw usageError(`${owner}: host and sysfsdev are both given`, "either of them says which function it is");
  }
  return (
    address(folder.replace(/\/+$/, "").split("/").at(-1) as string) ??
    notAnAddress(
      `${owner}: sysfsdev=${folder} is not a PCI function`,
      "for example /sys/bus/pci/devices/0000:01:00.0; mediated devices cannot be passed through",
      folder,
    )
  );
}

function address(text: string): string | undefined {
  try {
    return formatBdf(parseBdf(text));
  } catch {
    return undefined;
  }
}

function notAnAddress(message: string, hint: string, host: string): never {
  throw usageError(message, hint, { host });
}
