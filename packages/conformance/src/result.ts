// What comes of a replay: the differences of each case, and sums.
// Invariants: a case passed if it was played to its end without a difference; one that the machine cannot play is
// skipped with a reason and counts as neither.

export interface Difference {
  readonly case: string;
  readonly step: string;
  /** The step as recorded, short enough for a line. */
  readonly call: string;
  /** "ret", or the output field. */
  readonly field: string;
  readonly expected: string;
  readonly got: string;
}

export interface CaseResult {
  readonly name: string;
  /** Steps that were compared. */
  readonly steps: number;
  readonly differences: readonly Difference[];
  /** Why it was not played. */
  readonly skipped?: string;
}

export interface ReplayReport {
  readonly recording: string;
  /** Name of the machine that played. */
  readonly machine: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cases: readonly CaseResult[];
}

/** Sums up the cases of one recording. */
export function reportOf(recording: string, machine: string, cases: readonly CaseResult[]): ReplayReport {
  const skipped = cases.filter((each) => each.skipped !== undefined).length;
  const failed = cases.filter((each) => each.differences.length > 0).length;
  return { recording, machine, passed: cases.length - skipped - failed, failed, skipped, cases };
}
