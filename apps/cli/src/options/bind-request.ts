// What `minivmm bind` and `minivmm unbind` are asked to do: which functions, which driver, on which host.
import { usageError } from "../errors.ts";
import { parseAddress } from "./address.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";

export interface BindRequest {
  readonly action: "bind" | "unbind";
  /** Full addresses, each once, in the order given. */
  readonly addresses: readonly string[];
  /** bind: who gets them. unbind: whose they are no longer. */
  readonly driver: string;
  /** With the other functions of their IOMMU groups, but bridges. */
  readonly group: boolean;
  readonly dryRun: boolean;
  readonly force: boolean;
  readonly host: HostRequest;
  readonly json: boolean;
}

const DEFAULT_DRIVER = "vfio-pci";
/** A driver's name becomes part of a path and the content of a file. */
const DRIVER_NAME = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}$/;

/** `words` are those behind the command. Throws CliError USAGE_OPTION. */
export function parseBind(action: BindRequest["action"], given: Given, words: readonly string[]): BindRequest {
  if (words.length === 0) throw usageError(`${action}: no function is given`, `write minivmm ${action} 0000:01:00.0`);
  const driver = given.last("driver") ?? DEFAULT_DRIVER;
  if (!DRIVER_NAME.test(driver)) {
    throw usageError(`${action}: ${JSON.stringify(driver)} is no name of a driver`, "for example --driver vfio-pci");
  }
  return {
    action,
    addresses: [...new Set(words.map((text) => parseAddress(action, text)))],
    driver,
    group: given.flag("group"),
    dryRun: given.flag("dry-run"),
    force: given.flag("force"),
    host: parseHost(given.last("host")),
    json: given.flag("json"),
  };
}
