// One replayer for every recording on every machine.
// Invariants: each case is played on a stage of its own; what goes wrong while playing is a difference, not an exception.

import { ConformanceError } from "./error.ts";
import type { Machine } from "./machine.ts";
import { playPpc } from "./ppc/player.ts";
import type { RecordedCase, Recording } from "./recording.ts";
import { type CaseResult, type ReplayReport, reportOf } from "./result.ts";
import { playX86 } from "./x86/player.ts";

export interface ReplayOptions {
  /** Which cases; default all. */
  readonly only?: (name: string) => boolean;
  /** Told after each case, for progress. */
  readonly onCase?: (result: CaseResult) => void;
}

export function playCase(recorded: RecordedCase, machine: Machine): CaseResult {
  const play = (): CaseResult => (recorded.format === "x86" ? playX86(recorded, machine) : playPpc(recorded, machine));
  if (!machine.isolated) return play();
  try {
    return machine.isolated(recorded.machine, play);
  } catch (error) {
    if (!(error instanceof ConformanceError)) throw error;
    const { name } = recorded;
    const crash = { case: name, step: "", call: "", field: "ret", expected: "an end", got: error.message };
    return { name, steps: 0, differences: [crash] };
  }
}

/** Plays the cases of a recording and sums up. */
export function replayRecording(recording: Recording, machine: Machine, options: ReplayOptions = {}): ReplayReport {
  const { only = () => true, onCase } = options;
  const results = recording.cases
    .filter(({ name }) => only(name))
    .map((recorded) => {
      const result = playCase(recorded, machine);
      onCase?.(result);
      return result;
    });
  return reportOf(recording.name, machine.name, results);
}
