// -device and -drive: what is plugged into the guest. Drivers stand in one table with the properties they take.
import { formatBdf, parseBdf } from "@minivmm/pci";
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { Properties } from "./properties.ts";
import { ScsiBuses, type VscsiRequest } from "./scsi.ts";
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

export type DeviceRequest = VfioRequest | NvmeRequest | EduRequest | VscsiRequest;

interface Drive {
  readonly interface: "none" | "scsi";
  readonly file: string;
  readonly readonly: boolean;
  used: boolean;
}

type Drives = ReadonlyMap<string, Drive>;

/** Begins the key of a drive without an id; a property value never holds it. */
const NAMELESS = "\0";

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
/** Drivers of the VIO and SCSI buses: what they make is complete only when all of them are known. */
const SCSI_DRIVERS: Readonly<
  Record<string, (properties: Properties, id: string | undefined, drives: Drives, buses: ScsiBuses) => void>
> = {
  "spapr-vscsi": (properties, id, _drives, buses) => buses.addAdapter(properties, id),
  "scsi-hd": (properties, id, drives, buses) => buses.addDisk(properties, id, takeDrive(properties, drives)),
};
const ALIASES: Readonly<Record<string, string>> = { vfio: "vfio-pci" };

/** All devices in the order of the command line. Throws CliError USAGE_OPTION. */
export function parseDevices(given: Given): DeviceRequest[] {
  const drives = parseDrives(given);
  const buses = new ScsiBuses();
  const requests = given.all("device").flatMap((text) => parseDevice(text, drives, buses) ?? []);
  for (const [id, drive] of drives) {
    if (drive.interface === "scsi") buses.addImplicit(drive, id.startsWith(NAMELESS) ? undefined : id);
    else if (!drive.used) throw usageError(`-drive id=${id}: no device uses it`, `add -device nvme,drive=${id}`);
  }
  requests.push(...buses.finish());
  const ids = requests
    .flatMap((each) => [each, ...(each.driver === "spapr-vscsi" ? each.disks : [])])
    .flatMap(({ id }) => id ?? []);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw usageError(`two devices have the id "${twice}"`, "an id names one device");
  return requests;
}

/** Undefined: what it makes is with the SCSI buses. */
function parseDevice(text: string, drives: Drives, buses: ScsiBuses): DeviceRequest | undefined {
  const name = text.split(",")[0] as string;
  const driver = ALIASES[name] ?? name;
  const make = Object.hasOwn(DRIVERS, driver) ? DRIVERS[driver] : undefined;
  const makeScsi = Object.hasOwn(SCSI_DRIVERS, driver) ? SCSI_DRIVERS[driver] : undefined;
  if (make === undefined && makeScsi === undefined) {
    const known = [...Object.keys(ALIASES), ...Object.keys(DRIVERS), ...Object.keys(SCSI_DRIVERS)];
    const hint = suggestion(name, known, `known: ${known.join(", ")}`, (found) => `-device ${found}`);
    throw usageError(`unknown device "${name}"`, hint, { driver: name });
  }
  const properties = new Properties(`-device ${name}`, text, "driver");
  properties.text("driver");
  const id = properties.text("id");
  if (make === undefined) {
    makeScsi?.(properties, id, drives, buses);
    properties.finish();
    return undefined;
  }
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

/** By id; those without one (on the SCSI adapter that nobody has to name) by a key that no id can be. */
function parseDrives(given: Given): Map<string, Drive> {
  const drives = new Map<string, Drive>();
  given.all("drive").forEach((text, index) => {
    const [id, drive] = parseDrive(text);
    const key = id ?? `${NAMELESS}${index}`;
    if (drives.has(key)) throw usageError(`two drives have the id "${key}"`, "an id names one drive");
    drives.set(key, drive);
  });
  return drives;
}

function parseDrive(text: string): [string | undefined, Drive] {
  const properties = new Properties("-drive", text);
  const file = properties.required("file", "disk.img");
  const connection = properties.oneOf("if", ["none", "scsi"]) ?? "none";
  const id = connection === "scsi" ? properties.text("id") : properties.required("id", "disk0");
  const readonly = properties.onOff("readonly") ?? properties.onOff("read-only") ?? false;
  properties.oneOf("format", ["raw"]);
  properties.oneOf("media", ["disk"]);
  properties.finish();
  return [id, { interface: connection, file, readonly, used: false }];
}

function takeDrive(properties: Properties, drives: Drives): Drive {
  const id = properties.required("drive", "disk0");
  const drive = drives.get(id);
  if (drive === undefined) {
    throw usageError(`${properties.owner}: drive=${id} does not exist`, `add -drive file=FILE,if=none,id=${id}`);
  }
  if (drive.interface === "scsi") {
    throw usageError(
      `${properties.owner}: drive=${id} is on a SCSI adapter already`,
      `write if=none to give it to a device of your own`,
    );
  }
  if (drive.used) throw usageError(`${properties.owner}: drive=${id} is in use`, "one drive serves one device");
  drive.used = true;
  return drive;
}
