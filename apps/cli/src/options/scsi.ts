// -device spapr-vscsi, -device scsi-hd and -drive if=scsi: virtual SCSI adapters and the disks on them. Disks name the
// bus that they are on, `ID.0` of an adapter; without a name the first adapter has them, as with QEMU. The adapter of
// -drive if=scsi comes first and needs no -device.
import { usageError } from "../errors.ts";
import type { Properties } from "./properties.ts";
import { suggestion } from "./suggest.ts";

export interface ScsiDiskRequest {
  readonly file: string;
  readonly readonly: boolean;
  readonly id?: string;
  readonly serial?: string;
  readonly channel?: number;
  readonly target?: number;
  readonly lun?: number;
}

export interface VscsiRequest {
  readonly driver: "spapr-vscsi";
  readonly id?: string;
  /** Unit address. */
  readonly reg?: number;
  readonly disks: readonly ScsiDiskRequest[];
}

interface PendingDisk {
  readonly owner: string;
  readonly bus: string | undefined;
  readonly disk: ScsiDiskRequest;
}

interface PendingAdapter {
  readonly id?: string;
  readonly reg?: number;
  readonly disks: ScsiDiskRequest[];
}

const UNIT_ADDRESS_LIMIT = 0x8000_0000;
const SERIAL_MAX = 36;
/** Channels, targets and units of an adapter. */
const PLACE_LIMITS = { channel: 8, "scsi-id": 64, lun: 32 } as const;

/** Gathers adapters and disks in any order, and puts the disks on their adapters at the end. */
export class ScsiBuses {
  private readonly adapters: PendingAdapter[] = [];
  private readonly disks: PendingDisk[] = [];
  private implicit: PendingAdapter | undefined;

  addAdapter(properties: Properties, id: string | undefined): void {
    const reg = parseUnitAddress(properties);
    properties.oneOf("bus", ["spapr-vio"]);
    this.adapters.push({ ...(id === undefined ? {} : { id }), ...(reg === undefined ? {} : { reg }), disks: [] });
  }

  addDisk(properties: Properties, id: string | undefined, drive: { file: string; readonly: boolean }): void {
    const serial = properties.text("serial");
    if (serial !== undefined && (serial.length > SERIAL_MAX || !/^[\x20-\x7e]+$/.test(serial))) {
      throw usageError(`${properties.owner}: serial=${serial} is not possible`, `1 to ${SERIAL_MAX} ASCII characters`);
    }
    const place = {
      channel: parsePlace(properties, "channel"),
      target: parsePlace(properties, "scsi-id"),
      lun: parsePlace(properties, "lun"),
    };
    const bus = properties.text("bus");
    const given = Object.fromEntries(
      Object.entries({ id, serial, ...place }).filter(([, value]) => value !== undefined),
    );
    const disk: ScsiDiskRequest = { file: drive.file, readonly: drive.readonly, ...given };
    this.disks.push({ owner: properties.owner, bus, disk });
  }

  /** -drive if=scsi: one adapter for all of them, made without being asked for. */
  addImplicit(drive: { file: string; readonly: boolean }, id: string | undefined): void {
    this.implicit ??= { disks: [] };
    this.implicit.disks.push({ file: drive.file, readonly: drive.readonly, ...(id === undefined ? {} : { id }) });
  }

  /** Every adapter with its disks. Throws CliError USAGE_OPTION for a disk without one. */
  finish(): VscsiRequest[] {
    const all = this.implicit === undefined ? this.adapters : [this.implicit, ...this.adapters];
    for (const { owner, bus, disk } of this.disks) this.adapterOf(owner, bus, all).disks.push(disk);
    return all.map((adapter) => ({ driver: "spapr-vscsi", ...adapter }));
  }

  private adapterOf(owner: string, bus: string | undefined, all: readonly PendingAdapter[]): PendingAdapter {
    const first = all[0];
    if (first === undefined) {
      throw usageError(`${owner}: there is no SCSI adapter`, "add -device spapr-vscsi,id=scsi0");
    }
    if (bus === undefined) return first;
    const found = all.find(({ id }) => id !== undefined && bus === `${id}.0`);
    if (found !== undefined) return found;
    const known = all.flatMap(({ id }) => (id === undefined ? [] : [`${id}.0`]));
    const fallback = known.length > 0 ? `buses: ${known.join(", ")}` : "give the adapter an id: its bus is ID.0";
    throw usageError(
      `${owner}: there is no bus "${bus}"`,
      suggestion(bus, known, fallback, (name) => `bus=${name}`),
      { bus },
    );
  }
}

function parseUnitAddress(properties: Properties): number | undefined {
  const text = properties.text("reg");
  if (text === undefined) return undefined;
  const value = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : 0;
  if (value > 0 && value < UNIT_ADDRESS_LIMIT) return value;
  throw usageError(
    `${properties.owner}: reg=${text} is not a unit address`,
    "a number from 0x1 to 0x7fffffff, for example reg=0x71000003",
  );
}

function parsePlace(properties: Properties, key: keyof typeof PLACE_LIMITS): number | undefined {
  const text = properties.text(key);
  if (text === undefined) return undefined;
  const last = PLACE_LIMITS[key] - 1;
  if (/^\d{1,2}$/.test(text) && Number(text) <= last) return Number(text);
  throw usageError(`${properties.owner}: ${key}=${text} is not possible`, `${key} is a number from 0 to ${last}`);
}
