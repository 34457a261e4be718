// The functions that a machine's PCI bus gets, of the host or modelled, and what is checked of those of the host whatever the
// machine. Mistakes throw VmmError USAGE_CONFIG.
import type { PciDevice } from "@minivmm/pci/function";
import { configError } from "./common.ts";

/** A whole function of the host given to the guest through VFIO. */
export interface VfioPciConfig {
  readonly driver: "vfio-pci";
  /** PCI address on the host, "0001:01:00.0" or without the domain. */
  readonly host: string;
  readonly id?: string;
  /** PCI slot in the guest, 1 to 31. Default: the lowest free one. */
  readonly slot?: number;
  /** An open descriptor of the device's group (/dev/vfio/N), for a process that may not open it itself. */
  readonly groupFd?: number;
  /** An open descriptor of a container (/dev/vfio/vfio). Devices that name the same one share an IOMMU domain. */
  readonly containerFd?: number;
  /** Name of the container that the VM opens for this device. Devices share one unless their names differ. */
  readonly container?: string;
  /** Through the device's own node and an iommufd instead of group and container. Machine pc. */
  readonly iommufd?: IommufdConfig;
  /**
   * With `iommufd`: an open descriptor of the device's node (/dev/vfio/devices/vfioN). It stays the caller's to close,
   * unless the host wants the device back while the guest runs: then it is closed, for the host waits for that.
   */
  readonly deviceFd?: number;
}

/** Devices whose iommufd has the same id share an IOMMU domain. */
export interface IommufdConfig {
  readonly id: string;
  /** An open descriptor of /dev/iommu. Default: the VM opens it. */
  readonly fd?: number;
}

/** A device model plugged straight into the guest. */
export interface EmulatedConfig {
  readonly driver: "emulated";
  readonly device: PciDevice;
  readonly id?: string;
  readonly slot?: number;
}

const HOST_ADDRESS = /^([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$/;

/**
 * Devices with names of their own, and functions of the host: full addresses, each once, each in one IOMMU domain.
 * Throws VmmError USAGE_CONFIG.
 */
export function checkFunctions<D extends { readonly driver: string; readonly id?: string }>(
  devices: readonly (D | VfioPciConfig)[],
): readonly (D | VfioPciConfig)[] {
  checkNames(devices.map(({ id }, index) => id ?? `dev${index}`));
  const seen = new Set<string>();
  return devices.map((device) => {
    if (!isFunction(device)) return device;
    if (!HOST_ADDRESS.test(device.host)) {
      throw configError(
        `"${device.host}" is not a PCI address`,
        "write domain:bus:device.function, for example 0001:01:00.0",
      );
    }
    const host = (device.host.length < 12 ? `0000:${device.host}` : device.host).toLowerCase();
    if (seen.has(host)) throw configError(`device ${host} is given twice`, "a function can be passed through once");
    if (device.container !== undefined && device.containerFd !== undefined) {
      throw configError(`device ${host} has both a container's name and its descriptor`, "give one of the two");
    }
    if (device.iommufd !== undefined && (device.container !== undefined || device.containerFd !== undefined)) {
      throw configError(`device ${host} has both an iommufd and a container`, "give one of the two");
    }
    if (device.deviceFd !== undefined && device.iommufd === undefined) {
      throw configError(`device ${host} has a node's descriptor but no iommufd`, "name the iommufd too");
    }
    seen.add(host);
    return { ...device, host };
  });
}

function checkNames(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  throw configError(
    `two devices have the name "${twice}"`,
    "give each an id of its own; one without is called by its place, from dev0 on",
    { name: twice },
  );
}

function isFunction(device: { readonly driver: string }): device is VfioPciConfig {
  return device.driver === "vfio-pci";
}
