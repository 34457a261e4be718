// `minivmm replay` for people: each difference with its step, what was skipped and why, and the sums last.
import type { Difference, ReplayReport } from "@minivmm/conformance";
import { grouped } from "./numbers.ts";
import type { Style } from "./style.ts";

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function totalsOf(reports: readonly Totals[]): Totals {
  const sum = (key: keyof Totals): number => reports.reduce((total, report) => total + report[key], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** One recording, with a final newline. */
export function renderReplay(report: ReplayReport, style: Style): string {
  const { recording, machine, cases } = report;
  const steps = cases.reduce((total, each) => total + each.steps, 0);
  const lines = [`${style.bold(recording)}  ${grouped(steps)} steps on ${machine}`];
  for (const { name, differences } of cases) {
    if (differences.length === 0) continue;
    lines.push(`  ${style.bad("differs")} ${name}`);
    for (const difference of differences) lines.push(...differenceLines(difference, style));
  }
  for (const [reason, names] of skippedBy(report)) {
    lines.push(style.dim(`  skipped ${names.length}: ${reason}`));
  }
  return `${lines.join("\n")}\n`;
}

/** The closing line; the number of skipped cases stands on the line before it, where there are any. */
export function renderTotals({ passed, failed, skipped }: Totals, style: Style): string {
  const line = `${passed} passed, ${failed} failed`;
  const before = skipped > 0 ? `${skipped} skipped\n` : "";
  return `${before}${failed > 0 ? style.bad(line) : style.good(line)}\n`;
}

function differenceLines({ step, call, field, expected, got }: Difference, style: Style): string[] {
  return [
    `    step ${step}  ${style.dim(call)}`,
    `      ${field === "ret" ? "" : `${field}: `}expected ${expected}, got ${got}`,
  ];
}

function skippedBy({ cases }: ReplayReport): Map<string, string[]> {
  const reasons = new Map<string, string[]>();
  for (const { name, skipped } of cases) {
    if (skipped !== undefined) reasons.set(skipped, [...(reasons.get(skipped) ?? []), name]);
  }
  return reasons;
}
