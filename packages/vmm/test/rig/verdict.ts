// What a run of the guest says: its CHECK lines, how the monitor ended, and when. And the table of all runs.
import type { Case } from "./cases.ts";
import type { Done } from "./machine.ts";

export interface Verdict {
  readonly monitor: string;
  readonly of: Case;
  /** Empty: everything that the check has to show was shown. */
  readonly problems: readonly string[];
  /** Seconds from the start of the monitor; null: it did not come so far. */
  readonly kernel: number | null;
  readonly init: number | null;
  readonly total: number;
  /** Interrupts on each CPU, as the guest says. */
  readonly interrupts: string;
}

const CHECK = /^CHECK (\S+) (\S+) (ok|FAILED) ?(.*)$/;

export function judge(monitor: string, each: Case, { status, seconds, lines }: Done): Verdict {
  const at = (wanted: RegExp): number | null => lines.find(({ text }) => wanted.test(text))?.at ?? null;
  const checks = lines.flatMap(({ text }) => {
    const [, check = "", step = "", outcome = "", seen = ""] = CHECK.exec(text) ?? [];
    return check === each.device.check ? [{ step, outcome, seen }] : [];
  });
  const problems = checks.filter(({ outcome }) => outcome === "FAILED").map(({ step, seen }) => `${step}: ${seen}`);
  const has = (step: string): boolean => checks.some((check) => check.step === step && check.outcome === "ok");
  for (const step of ["init", "function", "kind", "interrupts", "end"]) {
    if (!has(step) && !problems.some((problem) => problem.startsWith(`${step}:`))) problems.push(`${step}: never said`);
  }
  for (let cpu = 0; cpu < each.cpus; cpu++) {
    if (!checks.some(({ step }) => step.endsWith(`-on-cpu${cpu}`))) problems.push(`it was not used on CPU ${cpu}`);
  }
  if (status === null) problems.push("the level-1 machine ended before the monitor did");
  else if (status === 137) problems.push("the monitor did not end in time");
  else if (status !== 0) problems.push(`the monitor ended with status ${status}`);
  return {
    monitor,
    of: each,
    problems,
    kernel: at(/^\[ *\d+\.\d+\] /),
    init: at(/^CHECK \S+ init ok/),
    total: seconds,
    interrupts: checks.find(({ step }) => step === "interrupts")?.seen.trim() ?? "",
  };
}

export function table(verdicts: readonly Verdict[]): string {
  const seconds = (value: number | null): string => (value === null ? "-" : value.toFixed(1));
  const rows = verdicts.map(({ monitor, of, problems, kernel, init, total, interrupts }) => [
    monitor,
    of.device.name,
    of.kind,
    String(of.cpus),
    problems.length === 0 ? "ok" : "FAILED",
    interrupts,
    seconds(kernel),
    seconds(init),
    seconds(total),
    of.device.shows,
  ]);
  const head = ["monitor", "device", "kind", "cpus", "result", "interrupts", "kernel", "init", "total", "shows"];
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
