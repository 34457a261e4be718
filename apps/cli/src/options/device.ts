// -device and -drive: what is plugged into the guest. Drivers stand in one table with the properties they take.
import { formatBdf, parseBdf } from "@minivmm/pci";
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { Properties } from "./properties.ts";
import { suggestion } from "./suggest.ts";

interface Placed {
  readonly id?: string;
  /** PCI slot in the guest, 1 to 31. */
  readonly slot?: number;
}

export interface VfioRequest extends Placed {
  readonly driver: "vfio-pci";
  /** Full address on the host, "0001:01:00.0". */
  readonly host: string;
  /** Inherited descriptor of the device's group: `vfiofd=`. */
  readonly groupFd?: number;
  /** Inherited descriptor of a container: `uiommufd=`. Devices that name the same one share an IOMMU domain. */
  readonly containerFd?: number;
  /** Name of a container of the VM's own; devices with different names have different IOMMU domains. */
  readonly container?: string;
}

export interface NvmeRequest extends Placed {
  readonly driver: "nvme";
  readonly file: string;
  readonly readonly: boolean;
  readonly serial?: string;
}

export interface EduRequest extends Placed {
  readonly driver: "edu";
}

export type DeviceRequest = VfioRequest | NvmeRequest | EduRequest;

interface Drive {
  readonly file: string;
  readonly readonly: boolean;
  used: boolean;
}

type Drives = ReadonlyMap<string, Drive>;

const DRIVERS: Readonly<Record<string, (properties: Properties, placed: Placed, drives: Drives) => DeviceRequest>> = {
  "vfio-pci": (properties, placed) => {
    const host = hostAddress(properties);
    const groupFd = properties.descriptor("vfiofd");
    const containerFd = properties.descriptor("uiommufd");
    const container = properties.text("container");
    if (containerFd !== undefined && container !== undefined) {
      throw usageError(`${properties.owner}: uiommufd and container are both given`, "a device is in one container");
    }
    return {
      driver: "vfio-pci",
      host,
      ...(groupFd === undefined ? {} : { groupFd }),
      ...(containerFd === undefined ? {} : { containerFd }),
      ...(container === undefined ? {} : { container }),
      ...placed,
    };
  },
  nvme: (properties, placed, drives) => {
    const serial = properties.text("serial");
    const { file, readonly } = takeDrive(properties, drives);
    return { driver: "nvme", file, readonly, ...(serial === undefined ? {} : { serial }), ...placed };
  },
  edu: (_properties, placed) => ({ driver: "edu", ...placed }),
};
const ALIASES: Readonly<Record<string, string>> = { vfio: "vfio-pci" };

/** All devices in the order of the command line. Throws CliError USAGE_OPTION. */
export function parseDevices(given: Given): DeviceRequest[] {
  const drives = new Map(given.all("drive").map(parseDrive));
  const requests = given.all("device").map((text) => parseDevice(text, drives));
  for (const [id, { used }] of drives) {
    if (!used) throw usageError(`-drive id=${id}: no device uses it`, `add -device nvme,drive=${id}`);
  }
  const ids = requests.flatMap(({ id }) => id ?? []);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw usageError(`two devices have the id "${twice}"`, "an id names one device");
  return requests;
}

function parseDevice(text: string, drives: Drives): DeviceRequest {
  const name = text.split(",")[0] as string;
  const driver = ALIASES[name] ?? name;
  const make = Object.hasOwn(DRIVERS, driver) ? DRIVERS[driver] : undefined;
  if (make === undefined) {
    const known = [...Object.keys(ALIASES), ...Object.keys(DRIVERS)];
    const hint = suggestion(name, known, `known: ${known.join(", ")}`, (found) => `-device ${found}`);
    throw usageError(`unknown device "${name}"`, hint, { driver: name });
  }
  const properties = new Properties(`-device ${name}`, text, "driver");
  properties.text("driver");
  const id = properties.text("id");
  const slot = parseSlot(properties);
  properties.oneOf("bus", ["pci.0", "pci"]);
  const placed = { ...(id === undefined ? {} : { id }), ...(slot === undefined ? {} : { slot }) };
  const request = make(properties, placed, drives);
  properties.finish();
  return request;
}

function parseSlot(properties: Properties): number | undefined {
  const text = properties.text("addr");
  if (text === undefined) return undefined;
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.0)?$/i.exec(text);
  const slot = match === null ? 0 : Number.parseInt(match[1] as string, 16);
  if (slot >= 1 && slot <= 31) return slot;
  throw usageError(`${properties.owner}: addr=${text} is no free place`, "a slot from 01 to 1f, hexadecimal");
}

function hostAddress(properties: Properties): string {
  const text = properties.required("host", "0001:01:00.0");
  try {
    return formatBdf(parseBdf(text));
  } catch {
    throw usageError(
      `${properties.owner}: host=${text} is not a PCI address`,
      "write [domain:]bus:device.function, for example 0001:01:00.0; `minivmm devices` lists them",
      { host: text },
    );
  }
}

function parseDrive(text: string): [string, Drive] {
  const properties = new Properties("-drive", text);
  const file = properties.required("file", "disk.img");
  const id = properties.required("id", "disk0");
  const readonly = properties.onOff("readonly") ?? properties.onOff("read-only") ?? false;
  properties.oneOf("if", ["none"]);
  properties.oneOf("format", ["raw"]);
  properties.oneOf("media", ["disk"]);
  properties.finish();
  return [id, { file, readonly, used: false }];
}

function takeDrive(properties: Properties, drives: Drives): Drive {
  const id = properties.required("drive", "disk0");
  const drive = drives.get(id);
  if (drive === undefined) {
    throw usageError(`${properties.owner}: drive=${id} does not exist`, `add -drive file=FILE,if=none,id=${id}`);
  }
  if (drive.used) throw usageError(`${properties.owner}: drive=${id} is in use`, "one drive serves one device");
  drive.used = true;
  return drive;
}
