// What `minivmm reset` is asked to do: plan or run, for which functions, on which host.
import { usageError } from "../errors.ts";
import { isAddress, parseAddress } from "./address.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";
import { suggestion } from "./suggest.ts";

export interface ResetRequest {
  readonly action: "plan" | "run";
  /** Full addresses, each once, in the order given. */
  readonly addresses: readonly string[];
  readonly host: HostRequest;
  readonly json: boolean;
  /** With `run`: everything short of touching a device. */
  readonly dryRun: boolean;
}

const RESET_ACTIONS = ["plan", "run"] as const;

/** `words` are those behind `reset`. Throws CliError USAGE_OPTION. */
export function parseReset(given: Given, words: readonly string[]): ResetRequest {
  const [first, ...rest] = words;
  const action = RESET_ACTIONS.find((each) => each === first);
  if (action === undefined) {
    const fallback = "write minivmm reset plan BDF or minivmm reset run BDF";
    if (first === undefined) throw usageError("reset: no action is given", fallback);
    if (isAddress(first)) throw usageError("reset: no action is given", `write minivmm reset plan ${first}`);
    throw usageError(`reset: unknown action "${first}"`, suggestion(first, RESET_ACTIONS, fallback));
  }
  if (rest.length === 0) {
    throw usageError(`reset ${action}: no function is given`, `write minivmm reset ${action} 0000:01:00.0`);
  }
  const dryRun = given.flag("dry-run");
  if (dryRun && action === "plan") throw usageError("reset plan: -dry-run has no meaning", "a plan never resets");
  return {
    action,
    addresses: [...new Set(rest.map((text) => parseAddress(`reset ${action}`, text)))],
    host: parseHost(given.last("host")),
    json: given.flag("json"),
    dryRun,
  };
}
