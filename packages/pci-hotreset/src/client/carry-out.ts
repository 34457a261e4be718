/**
 * A surveyed hot reset, carried out: groups, container, device, the kernel's own list, the reset, a look at every
 * function before and after, and everything closed again.
 *
 * A dry run stops before the device is opened: the kernel resets a function when VFIO opens it, and again, together with
 * its neighbours, when the last of them closes. What a dry run does (open groups, attach one) touches no register.
 */
import { ENOTTY, type Host } from "@minivmm/host";
import { parseBdf } from "@minivmm/pci/bdf";
import type { VfioGroup } from "@minivmm/vfio-core";
import { HotResetError } from "../error.ts";
import { configHeader, type FunctionFacts } from "./function-facts.ts";
import { HeldGroups } from "./held-groups.ts";
import { planHotReset, runHotReset } from "./plan.ts";
import type { HotResetSurvey } from "./survey.ts";

/**
 * `untouched`: no reset was done. `reset`: it is back with its configuration. `changed`: back, but not as it was. `lost`:
 * it does not answer. `unknown`: its configuration space could not be read.
 */
export type FunctionOutcome = "untouched" | "reset" | "changed" | "lost" | "unknown";

export interface FunctionReport {
  readonly bdf: string;
  readonly outcome: FunctionOutcome;
  /** Registers whose values are other than before: "id", "command", "bar0" to "bar5". */
  readonly changed: readonly string[];
}

export interface HotResetReport {
  /** `failed`: the reset was tried, and `error` says what the kernel answered. */
  readonly status: "done" | "dry-run" | "failed";
  readonly functions: readonly FunctionReport[];
  /** Groups that were held. */
  readonly groups: readonly number[];
  /** Milliseconds that the reset itself took; null in a dry run. */
  readonly ms: number | null;
  readonly error: HotResetError | null;
}

export interface CarryOutOptions {
  /** Groups that the caller holds; they are used and left as they are. Default none. */
  readonly owned?: Iterable<VfioGroup>;
  /** Stop before the device is opened. Default false. */
  readonly dryRun?: boolean;
}

/**
 * Throws HotResetError BLOCKED (the survey has obstacles) or NOT_OWNED before anything is touched, CHANGED when the
 * kernel would hit something that the survey does not have, and VfioError when VFIO refuses the group or the device.
 */
export function carryOutHotReset(host: Host, survey: HotResetSurvey, options: CarryOutOptions = {}): HotResetReport {
  const { bdf, obstacles, functions } = survey;
  const [first] = obstacles;
  if (first) {
    throw new HotResetError(`${bdf} cannot be hot reset: ${obstacles.map(({ message }) => message).join("; ")}`, {
      code: "BLOCKED",
      details: { device: bdf, obstacles },
      hint: `${first.remedy.charAt(0).toUpperCase()}${first.remedy.slice(1)}.`,
    });
  }
  const target = functions.find((each) => each.bdf === bdf) as FunctionFacts;
  using held = new HeldGroups(host, survey.groups, [...(options.owned ?? [])]);
  const groups = held.groups.map(({ id }) => id);
  const group = held.attach(target.group as number);
  if (options.dryRun) {
    return { status: "dry-run", functions: functions.map(untouched), groups, ms: null, error: null };
  }
  using device = group.device(bdf);
  const plan = planHotReset(host, device);
  requireSame(
    survey,
    plan.affected.map((each) => each.bdf),
  );
  const before = functions.map((each) => configHeader(host, each.bdf));
  const start = performance.now();
  const error = failureOf(() => runHotReset(plan, held.groups));
  const ms = performance.now() - start;
  // ENOTTY is the one failure that comes after the reset.
  const touched = error === null || error.errno === ENOTTY;
  return {
    status: error === null ? "done" : "failed",
    functions: functions.map((each, i) => (touched ? compare(host, each.bdf, before[i] ?? null) : untouched(each))),
    groups,
    ms,
    error,
  };
}

function failureOf(run: () => void): HotResetError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof HotResetError && error.code === "REFUSED") return error;
    throw error;
  }
}

const untouched = ({ bdf }: { bdf: string }): FunctionReport => ({ bdf, outcome: "untouched", changed: [] });

const PCI_COMMAND = 4;
const PCI_BASE_ADDRESS_0 = 0x10;
const BARS = 6;

/** What the kernel saves and restores around a reset, and a person would miss first. */
function compare(host: Host, bdf: string, before: Uint8Array | null): FunctionReport {
  const after = configHeader(host, bdf);
  if (before === null || after === null) return { bdf, outcome: "unknown", changed: [] };
  if (after.subarray(0, 4).every((byte) => byte === 0xff)) return { bdf, outcome: "lost", changed: [] };
  const differs = (at: number, size: number) =>
    before.subarray(at, at + size).some((byte, i) => byte !== after[at + i]);
  const changed = Array.from({ length: BARS }, (_, i) => i)
    .filter((i) => differs(PCI_BASE_ADDRESS_0 + 4 * i, 4))
    .map((i) => `bar${i}`);
  if (differs(PCI_COMMAND, 2)) changed.unshift("command");
  if (differs(0, 4)) changed.unshift("id");
  return { bdf, outcome: changed.length > 0 ? "changed" : "reset", changed };
}

/** The kernel has 16 bits for a domain, sysfs may show more. */
function requireSame(survey: HotResetSurvey, kernel: readonly string[]): void {
  const place = (bdf: string) => {
    const { domain, bus, device, function: fn } = parseBdf(bdf);
    return `${domain & 0xffff}:${bus}:${device}.${fn}`;
  };
  const surveyed = new Set(survey.functions.map((each) => place(each.bdf)));
  const surprises = kernel.filter((each) => !surveyed.has(place(each)));
  if (surprises.length === 0) return;
  throw new HotResetError(`a hot reset of ${survey.bdf} would also hit ${surprises.join(", ")}`, {
    code: "CHANGED",
    details: { device: survey.bdf, surprises },
    hint: "The hardware changed since it was looked at, or sysfs hides a function; plan again.",
  });
}
