// What `minivmm image` is asked to do with guest kernels.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { suggestion } from "./suggest.ts";

const ACTIONS = ["pull", "list", "rm"] as const;

export interface ImageRequest {
  readonly action: (typeof ACTIONS)[number];
  readonly name?: string;
  readonly cache?: string;
  readonly json: boolean;
}

/** `action` and `name` are the words behind `image`. Throws CliError USAGE_OPTION. */
export function parseImage(given: Given, action: string | undefined, name: string | undefined): ImageRequest {
  const fallback = `write one of ${ACTIONS.map((each) => `minivmm image ${each}`).join(", ")}`;
  if (action === undefined) throw usageError("image: no action is given", fallback);
  const known = ACTIONS.find((each) => each === action);
  if (known === undefined) {
    throw usageError(`image: unknown action "${action}"`, suggestion(action, ACTIONS, fallback));
  }
  const cache = given.last("cache");
  return {
    action: known,
    json: given.flag("json"),
    ...(name === undefined ? {} : { name }),
    ...(cache === undefined ? {} : { cache }),
  };
}
