// The x86 form of recordings: a line of the machine before each way of booting, a line at the begin of each case, then
// its steps. Source: README.md beside the recordings.
// Invariants: the steps of a child follow the step that made it, also where it ran in the background and was recorded later.

import { z } from "zod";
import { isObject, type Json, type Line, wrongLine } from "../lines.ts";
import type { RecordedMachine } from "../machine.ts";

export interface X86Step {
  /** "12", or "12.0" for the first step of the child that step 12 made. */
  readonly step: string;
  readonly do: Json;
  /** What the call returned; "fd" is a new descriptor. */
  readonly ret: number | "fd";
  readonly errno?: number | undefined;
  /** The signal that the access would have killed the process with. */
  readonly signal?: number | undefined;
  readonly out?: Json | undefined;
  /** The steps of its child. */
  readonly children: readonly X86Step[];
}

export interface X86Case {
  readonly format: "x86";
  readonly name: string;
  /** What it is about. */
  readonly why: string;
  /** What in its outcome comes of the emulated hardware rather than of the kernel. */
  readonly caution?: string | undefined;
  readonly machine: RecordedMachine;
  readonly steps: readonly X86Step[];
}

const device = z.object({
  name: z.string(),
  bdf: z.string(),
  group: z.number().nullish(),
  driver: z.string().nullish(),
});
const meta = z.object({ rig: z.string(), release: z.string(), devices: z.array(device) });
const begin = z.object({ case: z.string(), begin: z.string(), caution: z.string().optional() });
const step = z.object({
  case: z.string(),
  step: z.union([z.string(), z.number()]).transform(String),
  do: z.looseObject({ op: z.string() }),
  ret: z.union([z.number(), z.literal("fd")]),
  errno: z.number().optional(),
  signal: z.number().optional(),
  out: z.record(z.string(), z.unknown()).optional(),
});

type FlatStep = Omit<X86Step, "children">;

/** The cases of a file. Throws ConformanceError RECORDING_FORMAT. */
export function parseX86(file: string, lines: readonly Line[]): X86Case[] {
  const cases: (Omit<X86Case, "steps"> & { flat: FlatStep[] })[] = [];
  let machine: RecordedMachine | null = null;
  for (const { number, value } of lines) {
    if ("meta" in value) {
      machine = machineOf(checked(meta, value.meta, file, number));
    } else if ("begin" in value) {
      const { case: name, begin: why, caution } = checked(begin, value, file, number);
      if (!machine) throw wrongLine(file, number, "a case before any machine");
      cases.push({ format: "x86", name, why, caution, machine, flat: [] });
    } else if (!("ended" in value)) {
      const { case: name, ...rest } = checked(step, value, file, number);
      const current = cases.at(-1);
      if (current?.name !== name) throw wrongLine(file, number, `a step of "${name}" outside that case`);
      current.flat.push(rest);
    }
  }
  return withHistory(cases.map(({ flat, ...rest }) => ({ ...rest, steps: nested(flat) })));
}

/** Tells each case which of its devices earlier ones have used: that is how they come to have an interrupt, for example. */
function withHistory(cases: readonly X86Case[]): X86Case[] {
  const used = new Map<RecordedMachine, Set<string>>();
  return cases.map((each) => {
    const before = used.get(each.machine) ?? new Set<string>();
    used.set(each.machine, before);
    const named = namesIn(each.steps, /@(?:group|bdf|sys):(\w+)|"dev":"(\w+)"/g);
    const machine = { ...each.machine, used: named.filter((name) => before.has(name)) };
    const opened = each.steps.filter(({ do: { cmd }, ret }) => cmd === "VFIO_GROUP_GET_DEVICE_FD" && ret === "fd");
    for (const name of namesIn(opened, /@bdf:(\w+)/g)) before.add(name);
    return { ...each, machine };
  });
}

function namesIn(steps: readonly X86Step[], pattern: RegExp): string[] {
  return [...new Set([...JSON.stringify(steps).matchAll(pattern)].map(([, first, second]) => first ?? second ?? ""))];
}

/** Puts steps numbered n.0, n.1 ... below step n. */
function nested(flat: readonly FlatStep[]): X86Step[] {
  return flat
    .filter(({ step }) => !step.includes("."))
    .map((parent) => ({
      ...parent,
      children: flat
        .filter((each) => each.step.startsWith(`${parent.step}.`))
        .map((each) => ({ ...each, children: [] })),
    }));
}

function machineOf({ rig, release, devices }: z.infer<typeof meta>): RecordedMachine {
  return {
    arch: "x86_64",
    rig,
    release,
    pageSize: 4096,
    devices: devices.map(({ name, bdf, group, driver }) => ({
      name,
      bdf,
      // -1 and "none" are how the recorder wrote nothing.
      group: group !== undefined && group !== null && group >= 0 ? group : null,
      driver: driver && driver !== "none" ? driver : null,
    })),
  };
}

function checked<T>(schema: z.ZodType<T>, value: unknown, file: string, number: number): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const at = isObject(value) ? `at ${issue?.path.join(".") ?? "its top"}: ` : "";
  throw wrongLine(file, number, `${at}${issue?.message ?? "not as expected"}`);
}
