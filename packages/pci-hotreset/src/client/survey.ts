/**
 * The survey before a hot reset: possible at all, who is swept in, who owns them, what is missing. Nothing is reset, no
 * device is opened and no driver changes; group nodes are opened for a moment to see whether they can be.
 *
 * Unlike planHotReset it needs no open device, so it also answers when one cannot be had yet.
 */
import type { Host } from "@minivmm/host";
import { fullBdf, VfioError, type VfioGroup } from "@minivmm/vfio-core";
import { DEVICES, type FunctionFacts, functionFacts } from "./function-facts.ts";
import { type GroupOwnership, groupOwnership } from "./group-ownership.ts";
import { containerObstacle, functionObstacles, groupObstacles, type Obstacle, reachObstacle } from "./obstacles.ts";
import { type ResetReach, resetReach } from "./reach.ts";

export interface HotResetSurvey {
  /** The function that was asked for. */
  readonly bdf: string;
  /** How it would be done, or why not. */
  readonly reach: ResetReach;
  /** Everything that would be hit, in the kernel's order; the function alone when nothing can be reset. */
  readonly functions: readonly FunctionFacts[];
  /** Groups of those, ascending: the reset needs a descriptor of each. */
  readonly groups: readonly GroupOwnership[];
  /** What is missing for the kernel to accept it; empty: nothing. */
  readonly obstacles: readonly Obstacle[];
}

export interface SurveyOptions {
  /** Groups that the caller holds. Default none. */
  readonly owned?: Iterable<VfioGroup>;
}

/** `bdf` may lack its domain. Throws VfioError NO_DEVICE when the host has no such function. */
export function surveyHotReset(host: Host, bdf: string, options: SurveyOptions = {}): HotResetSurvey {
  const name = fullBdf(bdf).toLowerCase();
  if (!host.exists(`${DEVICES}/${name}`)) {
    throw new VfioError(`there is no PCI device ${name} on ${host.name}`, {
      code: "NO_DEVICE",
      details: { bdf: name },
      hint: "List the devices with `lspci -D`; the address is domain:bus:device.function in hexadecimal.",
    });
  }
  const owned = [...(options.owned ?? [])];
  const reach = resetReach(host, name);
  const functions = reach.functions.map((each) => functionFacts(host, each));
  const target = functions.find((each) => each.bdf === name) as FunctionFacts;
  const ids = new Set(functions.flatMap(({ group }) => group ?? []));
  const groups = [...ids].sort((a, b) => a - b).map((id) => groupOwnership(host, id, owned));
  const impossible = reachObstacle(reach, target);
  const obstacles = impossible ? [impossible] : missing(host, target, functions, groups);
  return { bdf: name, reach, functions, groups, obstacles };
}

function missing(
  host: Host,
  target: FunctionFacts,
  functions: readonly FunctionFacts[],
  groups: readonly GroupOwnership[],
): Obstacle[] {
  // Bridges first: while one is hit, nothing else that is done about the reset helps.
  const [bridges, endpoints] = [functions.filter(({ bridge }) => bridge), functions.filter(({ bridge }) => !bridge)];
  const ofFunctions = [...bridges, ...endpoints].flatMap((each) => functionObstacles(host, each));
  const explained = new Set(ofFunctions.flatMap(({ bdf }) => bdf ?? []));
  const ofGroups = groups.flatMap((group) => groupObstacles(host, group, group.id === target.group, explained));
  const ofHost = containerObstacle(host);
  return [...ofFunctions, ...ofGroups, ...(ofHost ? [ofHost] : [])];
}
