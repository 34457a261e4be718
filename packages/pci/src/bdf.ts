// PCI addresses: domain (segment), bus, device, function; written `dddd:bb:dd.f` in hexadecimal as in sysfs.
// The requester id of a function is bus << 8 | devfn; devfn is device << 3 | function (PCI Local Bus 3.0, 3.2.2.3.4).
import { PciError } from "./error.ts";

export interface Bdf {
  /** PCI domain (segment), 0..0xffff_ffff as Linux allows more than 16 bits for it. */
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

const PATTERN = /^(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-9a-fA-F])$/;

/**
 * Parse `[dddd:]bb:dd.f`; the domain defaults to 0.
 * @throws PciError BDF_SYNTAX when the text has another shape, BDF_RANGE when device > 0x1f or function > 7.
 */
export function parseBdf(text: string): Bdf {
  const match = PATTERN.exec(text);
  if (!match) {
    throw new PciError(`"${text}" is not a PCI address`, {
      code: "BDF_SYNTAX",
      details: { text },
      hint: "write it as [domain:]bus:device.function in hexadecimal, for example 0000:01:00.0",
    });
  }
  const [, domain = "0", bus, device, fn] = match;
  return makeBdf(parseInt(domain, 16), parseInt(bus!, 16), parseInt(device!, 16), parseInt(fn!, 16));
}

/** Build an address from numbers. @throws PciError BDF_RANGE when a part does not fit its field. */
export function makeBdf(domain: number, bus: number, device: number, fn: number): Bdf {
  const check = (name: string, value: number, max: number): void => {
    if (Number.isInteger(value) && value >= 0 && value <= max) return;
    throw new PciError(`PCI ${name} ${value} is outside 0..0x${max.toString(16)}`, {
      code: "BDF_RANGE",
      details: { domain, bus, device, function: fn },
      hint: "a bus has 32 devices with 8 functions each",
    });
  };
  check("domain", domain, 0xffffffff);
  check("bus", bus, 0xff);
  check("device", device, 0x1f);
  check("function", fn, 7);
  return { domain, bus, device, function: fn };
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");

/** `0001:01:00.0`, the form used in sysfs and by VFIO_GROUP_GET_DEVICE_FD. */
export function formatBdf(bdf: Bdf): string {
  return `${hex(bdf.domain, 4)}:${hex(bdf.bus, 2)}:${hex(bdf.device, 2)}.${bdf.function}`;
}

export const devfnOf = (bdf: Bdf): number => (bdf.device << 3) | bdf.function;
export const requesterIdOf = (bdf: Bdf): number => (bdf.bus << 8) | devfnOf(bdf);
/** PCI_SLOT and PCI_FUNC of a devfn. */
export const slotOf = (devfn: number): number => devfn >> 3;
export const functionOf = (devfn: number): number => devfn & 7;

/** Order of an lspci listing: domain, bus, devfn. */
export function compareBdf(a: Bdf, b: Bdf): number {
  return a.domain - b.domain || requesterIdOf(a) - requesterIdOf(b);
}
