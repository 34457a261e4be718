// What a caller says about a virtual SCSI adapter and its disks, its validation, and the making of the adapter.
// Places of disks that are not given are chosen as QEMU does: the next free target of channel 0, unit 0 of it.
import type { Disk } from "@minivmm/pci/devices";
import { VmmError } from "../../../../errors.ts";
import type { VioBus } from "../bus.ts";
import type { VioPlatform } from "../device.ts";
import { ScsiDisk } from "../scsi/disk.ts";
import { VscsiAdapter } from "./adapter.ts";
import { CHANNELS, lunAddress, lunText, TARGETS, UNITS } from "./lun.ts";

/** A disk on an adapter. The machine closes `disk` when it is closed itself. */
export interface ScsiDiskConfig {
  readonly disk: Disk;
  readonly id?: string;
  /** 1 to 36 printable ASCII characters. */
  readonly serial?: string;
  /** 0 to 7. Default 0. */
  readonly channel?: number;
  /** 0 to 63. Default: the lowest at which the unit is free. */
  readonly target?: number;
  /** 0 to 31. Default: 0, or with a target the lowest that is free there. */
  readonly lun?: number;
}

/** A virtual SCSI adapter (`ibmvscsi` in Linux guests) with its disks. */
export interface VscsiConfig {
  readonly driver: "spapr-vscsi";
  readonly id?: string;
  /** Unit address, which is the LIOBN too, 1 to 0x7fffffff. Default: the lowest free one from 0x71000000 on. */
  readonly reg?: number;
  readonly disks: readonly ScsiDiskConfig[];
}

const SERIAL = /^[\x21-\x7e](?:[\x20-\x7e]{0,34}[\x21-\x7e])?$/;

/** Addresses of an adapter's disks, in their order. Throws VmmError USAGE_CONFIG. */
export function placeDisks(name: string, disks: readonly ScsiDiskConfig[]): number[] {
  const taken = new Set<number>();
  return disks.map((disk, index) => {
    const label = disk.id ?? `disk ${index}`;
    if (disk.serial !== undefined && !SERIAL.test(disk.serial)) {
      throw usage(`${name}: ${label}: the serial number "${disk.serial}"`, "1 to 36 printable ASCII characters");
    }
    const address = place(disk, taken);
    if (address === undefined) {
      throw usage(
        `${name}: ${label}: there is no place ${placeText(disk)}`,
        `channel 0 to ${CHANNELS - 1}, target 0 to ${TARGETS - 1}, LUN 0 to ${UNITS - 1}`,
      );
    }
    if (taken.has(address)) {
      throw usage(
        `${name}: ${label}: another disk is at ${lunText(address)}`,
        "leave the place out, or give a free one",
      );
    }
    taken.add(address);
    return address;
  });
}

/** Makes the adapter and plugs it. Throws VmmError USAGE_CONFIG and USAGE_DEVICE; then the disks stay the caller's. */
export function plugVscsi(bus: VioBus, platform: VioPlatform, name: string, config: VscsiConfig): VscsiAdapter {
  const addresses = placeDisks(name, config.disks);
  const unit = config.reg ?? bus.freeUnit();
  bus.check(name, unit);
  const adapter = new VscsiAdapter(name, unit, platform);
  bus.plug(adapter);
  config.disks.forEach(({ disk, id, serial }, index) => {
    const address = addresses[index]!;
    adapter.units.set(address, new ScsiDisk({ disk, name: id ?? `${name}-${lunText(address)}`, serial }));
  });
  return adapter;
}

/** Undefined: out of range, or nothing is free. A place that is taken is returned all the same. */
function place({ channel = 0, target, lun }: ScsiDiskConfig, taken: ReadonlySet<number>): number | undefined {
  if (!within(channel, CHANNELS) || !within(target ?? 0, TARGETS) || !within(lun ?? 0, UNITS)) return undefined;
  if (target === undefined) {
    for (let each = 0; each < TARGETS; each++) {
      const address = lunAddress(channel, each, lun ?? 0);
      if (!taken.has(address)) return address;
    }
    return undefined;
  }
  if (lun !== undefined) return lunAddress(channel, target, lun);
  for (let each = 0; each < UNITS; each++) {
    const address = lunAddress(channel, target, each);
    if (!taken.has(address)) return address;
  }
  return undefined;
}

function within(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit;
}

function placeText({ channel = 0, target, lun }: ScsiDiskConfig): string {
  return `${channel}:${target ?? "(any)"}:${lun ?? "(any)"}`;
}

function usage(message: string, hint: string): VmmError {
  return new VmmError(message, { code: "USAGE_CONFIG", hint });
}
