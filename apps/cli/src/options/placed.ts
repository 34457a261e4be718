// Where a device is in the guest: its name, and a slot of the one PCI bus.
import { usageError } from "../errors.ts";
import type { MachineName } from "./machine.ts";
import type { Properties } from "./properties.ts";

export interface Placed {
  readonly id?: string;
  /** PCI slot in the guest, 1 to 31. */
  readonly slot?: number;
}

/** What QEMU calls the root bus. */
const BUSES: Readonly<Record<MachineName, readonly string[]>> = {
  pseries: ["pci.0", "pci"],
  pc: ["pcie.0", "pci.0", "pci"],
};

/** Throws CliError USAGE_OPTION. */
export function readPlaced(properties: Properties, id: string | undefined, machine: MachineName): Placed {
  const slot = parseSlot(properties);
  properties.oneOf("bus", BUSES[machine]);
  return { ...(id === undefined ? {} : { id }), ...(slot === undefined ? {} : { slot }) };
}

function parseSlot(properties: Properties): number | undefined {
  const text = properties.text("addr");
  if (text === undefined) return undefined;
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.0)?$/i.exec(text);
  const slot = match === null ? 0 : Number.parseInt(match[1] as string, 16);
  if (slot >= 1 && slot <= 31) return slot;
  throw usageError(`${properties.owner}: addr=${text} is no free place`, "a slot from 01 to 1f, hexadecimal");
}
