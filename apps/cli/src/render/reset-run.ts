// `minivmm reset run` for people: what became of each function. A reset that was refused shows its plan instead.
import type { FunctionReport } from "@minivmm/pci-hotreset";
import { columns } from "./columns.ts";
import { duration } from "./numbers.ts";
import type { ResetOutcome } from "./reset-json.ts";
import { heading, identity, renderPlan } from "./reset-plan.ts";
import type { Style } from "./style.ts";

/** Text with a final newline. */
export function renderOutcome(title: string, outcome: ResetOutcome, style: Style): string {
  const { survey, status, report } = outcome;
  if (status === "refused") return renderPlan(title, survey, style);
  const shape = ["ADDRESS", "IDS", "CLASS", "DRIVER", "GROUP", "OUTCOME"].map((name) => ({ title: name }));
  const reports = survey.functions.map(({ bdf }) => report?.functions.find((each) => each.bdf === bdf));
  const rows = survey.functions.map((facts, i) => [
    ...identity(facts),
    facts.driver ?? "-",
    facts.group === null ? "-" : String(facts.group),
    words(reports[i]),
  ]);
  const [header = "", ...lines] = columns(shape, rows);
  const painted = lines.map((line, i) => paint(style, reports[i], line));
  return `${[style.bold(heading(title, survey)), "", style.bold(header), ...painted, "", ending(outcome, style)].join("\n")}\n`;
}

function words(report: FunctionReport | undefined): string {
  switch (report?.outcome) {
    case "reset":
      return "reset, configuration kept";
    case "changed":
      return `reset, but other than before: ${report.changed.join(", ")}`;
    case "lost":
      return "does not answer";
    case "unknown":
      return "reset, configuration unreadable";
    default:
      return "untouched";
  }
}

function paint(style: Style, report: FunctionReport | undefined, line: string): string {
  if (report?.outcome === "reset") return style.good(line);
  return report === undefined || report.outcome === "untouched" ? line : style.bad(line);
}

function ending({ status, report }: ResetOutcome, style: Style): string {
  const ids = report?.groups ?? [];
  const groups = `${ids.length === 1 ? "group" : "groups"} ${ids.join(", ")}`;
  switch (status) {
    case "done":
      return style.good(`done in ${duration(report?.ms ?? 0)}, holding ${groups}`);
    case "dry-run":
      return style.good(`dry run: ${groups} could be held, nothing was touched`);
    case "skipped":
      return style.dim("skipped");
    default:
      return style.bad("failed");
  }
}
