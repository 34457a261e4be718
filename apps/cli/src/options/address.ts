// PCI addresses as people write them on a command line: the domain may be left out.
import { formatBdf, parseBdf } from "@minivmm/pci/bdf";
import { usageError } from "../errors.ts";

export function isAddress(text: string): boolean {
  try {
    parseBdf(text);
    return true;
  } catch {
    return false;
  }
}

/** The full address, `0000:01:00.0`. `what` begins the message. Throws CliError USAGE_OPTION. */
export function parseAddress(what: string, text: string): string {
  if (isAddress(text)) return formatBdf(parseBdf(text));
  throw usageError(
    `${what}: ${text === "" ? "an empty word" : text} is not a PCI address`,
    "write [domain:]bus:device.function, for example 0000:01:00.0; `minivmm devices` lists them",
    { address: text },
  );
}
