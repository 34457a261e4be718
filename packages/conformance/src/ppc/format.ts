// The POWER form of recordings: a header with page size and groups, then steps in the order they were made, each with the
// name of its case. Steps of a second process, with an address space of its own, have `#child` behind the case's name.
// Source: README.md beside the recordings.

import { z } from "zod";
import { isObject, type Json, type Line, wrongLine } from "../lines.ts";
import type { RecordedMachine } from "../machine.ts";

export interface PpcStep {
  /** Counts from 1 within the case. */
  readonly step: number;
  readonly call: string;
  readonly args: Json;
  /** -1 with `errno`, or the call's result. */
  readonly ret: number;
  readonly errno: number;
  readonly out: Json;
  /** Made by the second process. */
  readonly child: boolean;
}

export interface PpcCase {
  readonly format: "ppc";
  readonly name: string;
  readonly machine: RecordedMachine;
  readonly steps: readonly PpcStep[];
}

const header = z.object({ page_size: z.union([z.literal(4096), z.literal(65536)]), groups: z.array(z.number()) });
const values = z.record(z.string(), z.unknown());
const row = z.object({
  case: z.string(),
  step: z.number(),
  call: z.string(),
  args: values.default({}),
  ret: z.number(),
  errno: z.number().default(0),
  out: values.default({}),
});

/** The cases of a file. Throws ConformanceError RECORDING_FORMAT. */
export function parsePpc(file: string, lines: readonly Line[]): PpcCase[] {
  const first = header.safeParse(lines[0]?.value);
  if (!first.success) throw wrongLine(file, lines[0]?.number ?? 1, "the header has no page size or no groups");
  const machine = machineOf(file, first.data, lines);
  const cases = new Map<string, PpcStep[]>();
  for (const { number, value } of lines.slice(1)) {
    if (!("call" in value)) continue;
    const parsed = row.safeParse(value);
    if (!parsed.success) throw wrongLine(file, number, parsed.error.issues[0]?.message ?? "not a step");
    const { case: full, ...step } = parsed.data;
    const [name = full, suffix] = full.split("#");
    const steps = cases.get(name) ?? [];
    steps.push({ ...step, child: suffix === "child" });
    cases.set(name, steps);
  }
  return [...cases].map(([name, steps]) => ({ format: "ppc", name, machine, steps }));
}

/** The machines of recordings: addresses of the functions that they number. */
const MACHINES: Readonly<Record<string, readonly string[]>> = {
  pnv8: ["0000:01:00.0", "0001:01:00.0", "0002:02:01.0", "0002:02:02.0", "0002:02:03.0", "0002:02:04.0"],
  pnv9: ["0000:01:00.0", "0001:01:00.0", "0002:01:00.0", "0003:02:01.0", "0003:02:02.0", "0003:02:03.0"],
  pnv10: ["0000:01:00.0", "0001:01:00.0", "0002:01:00.0", "0003:02:01.0", "0003:02:02.0", "0003:02:03.0"],
  ps: ["0000:00:00.0", "0001:00:00.0", "0002:00:00.0", "0003:00:00.0", "0003:00:01.0", "0003:00:02.0"],
};
/** The default window of a pseries guest, where powernv has twice that. */
const PSERIES_WINDOW = "0x40000000";
/** Groups of the machine with three host bridges; the others have four. */
const POWER8_GROUPS = 3;

/** The file's name says which machine; where it does not, what the recording shows. */
function machineName(file: string, groups: readonly number[], lines: readonly Line[]): string {
  const named = /^(pnv8|pnv9|pnv10|ps)(?=[-.]|$)/.exec(file)?.[0];
  if (named) return named;
  const isPseries = lines.some(({ value: { out } }) => isObject(out) && out.dma32_window_size === PSERIES_WINDOW);
  if (isPseries) return "ps";
  return new Set(groups).size === POWER8_GROUPS ? "pnv8" : "pnv9";
}

function machineOf(
  file: string,
  { page_size, groups }: z.infer<typeof header>,
  lines: readonly Line[],
): RecordedMachine {
  const rig = machineName(file, groups, lines);
  return {
    arch: "ppc64le",
    rig,
    release: file.includes("fixed") ? "6.12.117" : "6.12.107",
    pageSize: page_size,
    devices: (MACHINES[rig] as readonly string[]).map((bdf, index) => ({
      name: `dev${index}`,
      bdf,
      group: groups[index] ?? null,
      driver: index < groups.length ? "vfio-pci" : null,
    })),
  };
}
