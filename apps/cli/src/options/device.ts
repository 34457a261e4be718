// -device, -drive and -object: what is plugged into the guest. Drivers stand in one table with the properties they take;
// those of the SCSI bus are machine pseries' only.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { Iommufds } from "./iommufd.ts";
import type { MachineName } from "./machine.ts";
import { type Placed, readPlaced } from "./placed.ts";
import { Properties } from "./properties.ts";
import { ScsiBuses, type VscsiRequest } from "./scsi.ts";
import { suggestion } from "./suggest.ts";
import { readVfio, type VfioRequest } from "./vfio.ts";

export interface NvmeRequest extends Placed {
  readonly driver: "nvme";
  readonly file: string;
  readonly readonly: boolean;
  readonly serial?: string;
}

export interface EduRequest extends Placed {
  readonly driver: "edu";
  /** Its DMA asks that no cache be snooped. */
  readonly noSnoop?: boolean;
}

/** Functions on the PCI bus. */
export type PciDeviceRequest = VfioRequest | NvmeRequest | EduRequest;
export type DeviceRequest = PciDeviceRequest | VscsiRequest;

interface Drive {
  readonly interface: "none" | "scsi";
  readonly file: string;
  readonly readonly: boolean;
  used: boolean;
}

/** What devices refer to, and where they go. */
interface Parts {
  readonly machine: MachineName;
  readonly drives: ReadonlyMap<string, Drive>;
  readonly iommufds: Iommufds;
  readonly buses: ScsiBuses;
}

/** Begins the key of a drive without an id; a property value never holds it. */
const NAMELESS = "\0";
const NO_SCSI = "a disk of machine pc is -drive file=FILE,if=none,id=d0 with -device nvme,drive=d0";

const DRIVERS: Readonly<Record<string, (properties: Properties, placed: Placed, parts: Parts) => PciDeviceRequest>> = {
  "vfio-pci": (properties, placed, { iommufds }) => readVfio(properties, placed, iommufds),
  nvme: (properties, placed, { drives }) => {
    const serial = properties.text("serial");
    const { file, readonly } = takeDrive(properties, drives);
    return { driver: "nvme", file, readonly, ...(serial === undefined ? {} : { serial }), ...placed };
  },
  edu: (properties, placed) => {
    const noSnoop = properties.onOff("nosnoop");
    return { driver: "edu", ...(noSnoop === undefined ? {} : { noSnoop }), ...placed };
  },
};
/** Drivers of the VIO and SCSI buses: what they make is complete only when all of them are known. */
const SCSI_DRIVERS: Readonly<Record<string, (properties: Properties, id: string | undefined, parts: Parts) => void>> = {
  "spapr-vscsi": (properties, id, { buses }) => buses.addAdapter(properties, id),
  "scsi-hd": (properties, id, { buses, drives }) => buses.addDisk(properties, id, takeDrive(properties, drives)),
};
const ALIASES: Readonly<Record<string, string>> = { vfio: "vfio-pci" };

/** All devices in the order of the command line. Throws CliError USAGE_OPTION. */
export function parseDevices(given: Given, machine: MachineName): DeviceRequest[] {
  const drives = parseDrives(given);
  const iommufds = new Iommufds(given, machine);
  const buses = new ScsiBuses();
  const parts = { machine, drives, iommufds, buses };
  const requests: DeviceRequest[] = given.all("device").flatMap((text) => parseDevice(text, parts) ?? []);
  for (const [id, drive] of drives) {
    if (drive.interface === "scsi") {
      if (machine === "pc") throw usageError("-drive if=scsi: machine pc has no SCSI adapter", NO_SCSI);
      buses.addImplicit(drive, id.startsWith(NAMELESS) ? undefined : id);
    } else if (!drive.used) throw usageError(`-drive id=${id}: no device uses it`, `add -device nvme,drive=${id}`);
  }
  iommufds.finish();
  requests.push(...buses.finish());
  const ids = requests
    .flatMap((each) => [each, ...(each.driver === "spapr-vscsi" ? each.disks : [])])
    .flatMap(({ id }) => id ?? []);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw usageError(`two devices have the id "${twice}"`, "an id names one device");
  return requests;
}

export function isPciDevice(request: DeviceRequest): request is PciDeviceRequest {
  return request.driver !== "spapr-vscsi";
}

/** Undefined: what it makes is with the SCSI buses. */
function parseDevice(text: string, parts: Parts): PciDeviceRequest | undefined {
  const { machine } = parts;
  const name = text.split(",")[0] as string;
  const driver = ALIASES[name] ?? name;
  const make = Object.hasOwn(DRIVERS, driver) ? DRIVERS[driver] : undefined;
  const makeScsi = Object.hasOwn(SCSI_DRIVERS, driver) ? SCSI_DRIVERS[driver] : undefined;
  if (make === undefined && makeScsi === undefined) {
    const scsi = machine === "pseries" ? Object.keys(SCSI_DRIVERS) : [];
    const known = [...Object.keys(ALIASES), ...Object.keys(DRIVERS), ...scsi];
    const hint = suggestion(name, known, `known: ${known.join(", ")}`, (found) => `-device ${found}`);
    throw usageError(`unknown device "${name}"`, hint, { driver: name });
  }
  if (makeScsi !== undefined && machine === "pc") {
    throw usageError(`-device ${name}: machine pc has no SCSI adapter`, NO_SCSI, { driver: name });
  }
  const properties = new Properties(`-device ${name}`, text, "driver");
  properties.text("driver");
  const id = properties.text("id");
  if (make === undefined) {
    makeScsi?.(properties, id, parts);
    properties.finish();
    return undefined;
  }
  const request = make(properties, readPlaced(properties, id, machine), parts);
  properties.finish();
  return request;
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

function takeDrive(properties: Properties, drives: ReadonlyMap<string, Drive>): Drive {
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
