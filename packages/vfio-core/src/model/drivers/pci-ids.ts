/**
 * `struct pci_device_id`: which functions a driver takes, how ids are compared and how new_id and remove_id spell them.
 *
 * Source: pci_match_one_id of drivers/pci/pci.h; new_id_store, remove_id_store of drivers/pci/pci-driver.c; the "%x"
 * of lib/vsprintf.c, which takes blanks before and a prefix 0x, and keeps 32 bits of what it read.
 */
import { PCI_CLASS_REVISION, PCI_SUBSYSTEM_VENDOR_ID, type PciFunction } from "@minivmm/pci";
import { cString } from "./kstrto.ts";

export const PCI_ANY_ID = 0xffffffff;

export interface PciDeviceId {
  readonly vendor: number;
  readonly device: number;
  /** Default: any. */
  readonly subvendor?: number;
  readonly subdevice?: number;
  /** 24 bits, of which `classMask` says which count. Default none. */
  readonly class?: number;
  readonly classMask?: number;
  /** What the driver keeps with the id. Default 0. */
  readonly driverData?: bigint;
  /** Matches only a function whose driver_override names the driver. */
  readonly overrideOnly?: boolean;
}

/** What a function shows. */
export function idOf(fn: PciFunction): PciDeviceId {
  const sub = fn.isBridge ? 0 : fn.readConfig(PCI_SUBSYSTEM_VENDOR_ID, 4);
  return {
    vendor: fn.vendorId,
    device: fn.deviceId,
    subvendor: sub & 0xffff,
    subdevice: sub >>> 16,
    class: fn.readConfig(PCI_CLASS_REVISION, 4) >>> 8,
  };
}

export function matchesId(id: PciDeviceId, of: PciDeviceId): boolean {
  const fits = (wanted: number | undefined, got: number | undefined): boolean =>
    (wanted ?? PCI_ANY_ID) === PCI_ANY_ID || wanted === (got ?? PCI_ANY_ID);
  return (
    fits(id.vendor, of.vendor) &&
    fits(id.device, of.device) &&
    fits(id.subvendor, of.subvendor) &&
    fits(id.subdevice, of.subdevice) &&
    (((id.class ?? 0) ^ (of.class ?? 0)) & (id.classMask ?? 0)) === 0
  );
}

/** Does remove_id with `wanted` mean this dynamic id? */
export function namesId(wanted: PciDeviceId, id: PciDeviceId): boolean {
  const same = (a: number | undefined, b: number | undefined): boolean =>
    (a ?? PCI_ANY_ID) === PCI_ANY_ID || a === (b ?? PCI_ANY_ID);
  return (
    wanted.vendor === id.vendor &&
    wanted.device === id.device &&
    same(wanted.subvendor, id.subvendor) &&
    same(wanted.subdevice, id.subdevice) &&
    (((id.class ?? 0) ^ (wanted.class ?? 0)) & (wanted.classMask ?? 0)) === 0
  );
}

/** "vendor device [subvendor subdevice class mask data]" in hexadecimal; null with fewer than two fields. */
export function parseId(text: string): { readonly id: PciDeviceId; readonly fields: number } | null {
  const values = scanHex(cString(text), 7);
  const [vendor, device, subvendor, subdevice, classCode, classMask, driverData] = values;
  if (vendor === undefined || device === undefined) return null;
  const word = (value: bigint | undefined, otherwise: number): number =>
    value === undefined ? otherwise : Number(value & 0xffffffffn);
  const id = {
    vendor: word(vendor, 0),
    device: word(device, 0),
    subvendor: word(subvendor, PCI_ANY_ID),
    subdevice: word(subdevice, PCI_ANY_ID),
    class: word(classCode, 0),
    classMask: word(classMask, 0),
    driverData: driverData ?? 0n,
  };
  return { id, fields: values.length };
}

/** sscanf("%x %x ..."): the numbers up to the first thing that is none. */
function scanHex(text: string, most: number): bigint[] {
  const field = /\s*(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)/y;
  const values: bigint[] = [];
  while (values.length < most) {
    const digits = field.exec(text)?.[1];
    if (digits === undefined) break;
    values.push(BigInt.asUintN(64, BigInt(`0x${digits}`)));
  }
  return values;
}
