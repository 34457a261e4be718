// Records cases: plays their steps on a machine and writes the lines of a recording with what came of them.
// Invariants: a case that cannot be played to its end on this machine leaves no line, but a reason; recording on a machine
// and replaying there gives no difference where the machine answers the same twice.

import { errnoName } from "@minivmm/host";
import { ConformanceError } from "./error.ts";
import { isObject, type Json, linesOf } from "./lines.ts";
import type { Machine, RecordedMachine } from "./machine.ts";
import { parseX86, type X86Case } from "./x86/format.ts";
import { type Played, stepX86 } from "./x86/player.ts";

export interface Recorded {
  /** Lines of a recording. */
  readonly text: string;
  readonly cases: number;
  /** Cases that were not recorded, and why. */
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Cases of the x86 form whose steps need no outcomes: lines with `do` alone. Recorded outcomes may be there and are
 * replaced by recording. Throws ConformanceError RECORDING_FORMAT.
 */
export function parseCases(name: string, text: string): X86Case[] {
  const withOutcome = (value: Json): Json => ("do" in value && !("ret" in value) ? { ...value, ret: 0 } : value);
  return parseX86(
    name,
    linesOf(name, text).map(({ number, value }) => ({ number, value: withOutcome(value) })),
  );
}

/** Plays cases and writes down the outcomes. `onCase` is told the name of each before it is played. */
export function recordCases(
  cases: readonly X86Case[],
  machine: Machine,
  onCase: (name: string) => void = () => {},
): Recorded {
  const lines: Json[] = [];
  const refused: { name: string; reason: string }[] = [];
  let last: RecordedMachine | null = null;
  for (const each of cases) {
    onCase(each.name);
    const steps = recordCase(each, machine);
    if (typeof steps === "string") {
      refused.push({ name: each.name, reason: steps });
      continue;
    }
    if (last !== each.machine) lines.push({ meta: metaOf(each.machine) });
    last = each.machine;
    const { name, why, caution } = each;
    lines.push({ case: name, begin: why, ...(caution === undefined ? {} : { caution }) }, ...steps);
  }
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  return { text, cases: cases.length - refused.length, refused };
}

/** The lines of its steps, or why there are none. */
function recordCase(recorded: X86Case, machine: Machine): Json[] | string {
  const play = (): Json[] | string => {
    const played = stepX86(recorded, machine);
    if ("skip" in played) return played.skip;
    const failed = played.flatMap(({ step, outcome }) =>
      "failed" in outcome ? [`step ${step.step}: ${outcome.failed}`] : [],
    );
    return failed[0] ?? played.map((each) => lineOf(recorded.name, each));
  };
  try {
    return machine.isolated ? machine.isolated(recorded.machine, play) : play();
  } catch (error) {
    if (error instanceof ConformanceError) return error.message;
    throw error;
  }
}

function lineOf(name: string, { step, outcome }: Played): Json {
  if ("failed" in outcome) return {};
  const { ret, signal, out } = outcome;
  const head = { case: name, step: step.step, do: step.do };
  const shown = out && Object.keys(out).length > 0 ? { out: plain(out) } : {};
  if (signal !== undefined) return { ...head, ret: -1, signal, ...shown };
  if (ret < 0) return { ...head, ret: -1, errno: -ret, err: errnoName(ret), ...shown };
  return { ...head, ret: namesDescriptor(step.do) ? "fd" : ret, ...shown };
}

/** Whether what the call returns is a descriptor, whose number means nothing. */
function namesDescriptor(step: Json): boolean {
  return typeof step.as === "string" && step.op !== "mmap" && !("in" in step);
}

/** Numbers as JSON has them where a double holds them exactly. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  if (typeof value !== "string" || !/^0x[0-9a-f]+$/.test(value)) return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function metaOf({ rig, release, devices }: RecordedMachine): Json {
  return { rig, release, devices };
}
