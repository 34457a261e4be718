// `minivmm bind` and `unbind` for people and for programs. Keys of the JSON are stable and always there, null where there
// is nothing to say; the README lists them.
import type { Host } from "@minivmm/host";
import { oneLine } from "../errors.ts";
import { type BindOutcome, type BindPlan, type BindReport, bridgeRelease } from "../host/binding.ts";
import { className, listPci } from "../host/pci-list.ts";
import type { BindRequest } from "../options/bind-request.ts";
import type { Style } from "./style.ts";

/** What will be done, as text with a final newline: each write is a command that root could type. */
export function renderIntent({ dryRun }: BindRequest, plans: readonly BindPlan[], style: Style): string {
  const lines = plans.flatMap((plan) => {
    const { bdf, facts, steps, uses } = plan;
    const what = facts.classCode === null ? "function" : className(facts.classCode);
    const head = style.bold(`${bdf} (${what}, ${facts.driver ?? "no driver"})`);
    if (steps.length === 0) return [`${head}: as it should be`];
    return [
      `${head}: ${dryRun ? "would write" : "writing"}`,
      ...uses.map(({ message }) => style.bad(`  in spite of this: ${oneLine(message)}`)),
      ...steps.map(({ path, value }) => `  echo ${value.trim() === "" ? "" : `${value.trim()} `}> ${path}`),
    ];
  });
  return `${lines.join("\n")}\n`;
}

/** What was done, as text with a final newline. */
export function renderBinding(host: Host, request: BindRequest, outcome: BindOutcome, style: Style): string {
  const lines = outcome.reports.map((report) =>
    painted(style, report, `${report.plan.bdf}: ${words(request, report)}`),
  );
  for (const sentence of outcome.left) lines.push(style.bad(`not undone: ${sentence}`));
  if (outcome.error === null && !request.dryRun && request.action === "bind") {
    for (const { group, viable, blockedBy } of groupsOf(host, outcome)) {
      const release = bridgeRelease(host, blockedBy);
      const how = release === null ? "minivmm bind --group takes all of it" : `it goes with ${release}`;
      const text = viable ? "can be given to a guest" : `is still held by ${blockedBy.join(", ")}: ${how}`;
      lines.push(`group ${group} ${text}`);
    }
  }
  if (request.dryRun && outcome.error === null) lines.push("dry run: nothing was written");
  return `${lines.join("\n")}\n`;
}

function words({ action, driver: wanted }: BindRequest, { status, driver, plan }: BindReport): string {
  switch (status) {
    case "done":
      if (action === "bind") return `bound to ${wanted}`;
      if (driver !== null && driver === plan.facts.driver) return `driver_override cleared, ${driver} has it`;
      return driver === null ? "given back, no driver of the host took it" : `given back, ${driver} has it`;
    case "unchanged":
      return driver === null ? "left alone, it has no driver" : `left alone, ${driver} has it`;
    case "planned":
      return action === "bind" ? `would be bound to ${wanted}` : "would be given back";
    case "refused":
      return `refused: ${plan.obstacles.map(({ message }) => oneLine(message).replace(`${plan.bdf} `, "")).join("; ")}`;
    case "failed":
    case "undone":
      return `${status}, ${driver === null ? "it has no driver" : `${driver} has it`}`;
    case "skipped":
      return "not touched";
  }
}

function painted(style: Style, { status }: BindReport, line: string): string {
  if (status === "done") return style.good(line);
  return status === "failed" || status === "refused" ? style.bad(line) : line;
}

function groupsOf(host: Host, { reports }: BindOutcome) {
  const ids = new Set(reports.flatMap(({ plan }) => plan.facts.group ?? []));
  const entries = ids.size === 0 ? [] : listPci(host);
  return [...ids]
    .sort((a, b) => a - b)
    .map((group) => {
      const { blockedBy = [] } = entries.find((entry) => entry.group === group) ?? {};
      return { group, viable: blockedBy.length === 0, blockedBy };
    });
}

export function bindJson(host: Host, request: BindRequest, outcome: BindOutcome) {
  const { error, left, reports } = outcome;
  return {
    action: request.action,
    driver: request.driver,
    dryRun: request.dryRun,
    forced: request.force,
    functions: reports.map(({ plan, status, driver }) => ({
      address: plan.bdf,
      status,
      driverBefore: plan.facts.driver,
      driver,
      overrideBefore: plan.override,
      group: plan.facts.group,
      inUse: plan.uses.map(({ kind, name, message }) => ({ kind, name, message })),
      obstacles: plan.obstacles.map(({ code, message, remedy, forcible }) => ({ code, message, remedy, forcible })),
      steps: plan.steps.map(({ path, value }) => ({ path, value })),
    })),
    groups: groupsOf(host, outcome),
    notUndone: left,
    error: error && { code: error.code, errno: error.errno ?? null, message: error.message, hint: error.hint ?? null },
  };
}
