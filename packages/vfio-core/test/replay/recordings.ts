// Reads recorded cases: one JSON object a line, cases in order, the steps of a case together.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Step } from "./player.ts";

export interface RecordedCase {
  readonly name: string;
  readonly why: string;
  /** The way the machine was booted. */
  readonly rig: string;
  readonly steps: Step[];
}

export function recordedCases(file: URL): RecordedCase[] {
  const cases: RecordedCase[] = [];
  const content = readFileSync(file);
  const text = (file.pathname.endsWith(".gz") ? gunzipSync(content) : content).toString("utf8");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const entry = JSON.parse(line);
    if ("begin" in entry) cases.push({ name: entry.case, why: entry.begin, rig: entry.rig ?? "full", steps: [] });
    else cases.at(-1)?.steps.push(entry);
  }
  for (const each of cases) each.steps.sort((a, b) => whole(a) - whole(b));
  return cases;
}

/** Steps of a child come right after the step that made it; one in the background may be recorded later. */
const whole = (step: Step) => Number.parseInt(step.step, 10);
