// -host: where devices come from. `real` is this machine's kernel; `model:NAME[,key=value...]` is a modelled one.
import { MinivmmError } from "@minivmm/host/error";
import { type ModelSpec, modelHostNames, parseModelSpec } from "@minivmm/model-host/spec";
import { usageError } from "../errors.ts";
import { suggestion } from "./suggest.ts";

export type HostRequest = { readonly kind: "real" } | { readonly kind: "model"; readonly spec: ModelSpec };

const PREFIX = "model:";

/** Throws CliError USAGE_OPTION. */
export function parseHost(text: string | undefined): HostRequest {
  if (text === undefined || text === "real") return { kind: "real" };
  const names = modelHostNames();
  if (!text.startsWith(PREFIX)) {
    const known = ["real", ...names.map((name) => PREFIX + name)];
    const hint = suggestion(text, known, `write one of ${known.join(", ")}`, (found) => `-host ${found}`);
    throw usageError(`unknown host "${text}"`, hint, { host: text });
  }
  const spec = readSpec(text.slice(PREFIX.length));
  if (!names.includes(spec.name)) {
    const hint = suggestion(spec.name, names, `known: ${names.join(", ")}`, (found) => `-host ${PREFIX}${found}`);
    throw usageError(`unknown modelled host "${spec.name}"`, hint, { name: spec.name });
  }
  return { kind: "model", spec };
}

function readSpec(text: string): ModelSpec {
  try {
    return parseModelSpec(text);
  } catch (error) {
    if (!(error instanceof MinivmmError)) throw error;
    throw usageError(`-host: ${error.message}`, error.hint, error.details);
  }
}
