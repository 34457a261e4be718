// -global iommu.check=coherency: what devices do with memory is looked at, and mistakes of the guest's drivers are told. QEMU has
// nothing like it; the spelling is that of its properties.
import { usageError } from "../errors.ts";
import { Properties } from "./properties.ts";

export interface CheckRequest {
  /** The machine's IOMMU makes all DMA snoop. */
  readonly snoopControl?: boolean;
}

export interface Globals {
  readonly check?: CheckRequest;
  /** Those of other drivers, as they were written. */
  readonly others: readonly string[];
}

const DRIVER = "iommu.";
const OWNER = "-global iommu";

/** Throws CliError USAGE_OPTION. */
export function readGlobals(texts: readonly string[], machine: "pseries" | "pc"): Globals {
  const own = texts.filter((text) => text.startsWith(DRIVER));
  const others = texts.filter((text) => !text.startsWith(DRIVER));
  if (own.length === 0) return { others };
  const list = own.map((text) => text.slice(DRIVER.length).replaceAll(",", ",,")).join(",");
  const properties = new Properties(OWNER, list);
  const check = properties.oneOf("check", ["coherency", "off"]);
  if (machine === "pc" && properties.has("snoop-control")) {
    throw usageError(`${OWNER}.snoop-control: machine pc has no IOMMU of the guest's`, "leave it out");
  }
  const snoopControl = machine === "pc" ? undefined : properties.onOff("snoop-control");
  properties.finish();
  if (check === "coherency") return { check: snoopControl === undefined ? {} : { snoopControl }, others };
  if (snoopControl !== undefined) {
    throw usageError(`${OWNER}.snoop-control: nothing is checked`, "write -global iommu.check=coherency too");
  }
  return { others };
}
