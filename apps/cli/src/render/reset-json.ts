// `minivmm reset --json`: the shapes that programs read. Keys are stable; every key is always there, null where there is
// nothing to say. The README lists them.
import type { MinivmmError } from "@minivmm/host";
import type { FunctionFacts, HotResetReport, HotResetSurvey } from "@minivmm/pci-hotreset";
import { className } from "../host/pci-list.ts";

/** What became of one reset that was asked for. */
export interface ResetOutcome {
  readonly survey: HotResetSurvey;
  /** `refused`: by the plan, before anything. `skipped`: because of another one. */
  readonly status: "done" | "dry-run" | "refused" | "failed" | "skipped";
  /** What was done; null when nothing was tried. */
  readonly report: HotResetReport | null;
  readonly error: MinivmmError | null;
}

export function planJson({ bdf, reach, functions, groups, obstacles }: HotResetSurvey) {
  return {
    address: bdf,
    accepted: obstacles.length === 0,
    method: reach.method,
    bridge: reach.bridge,
    impossible: reach.impossible,
    culprit: reach.culprit,
    functions: functions.map(functionJson),
    groups: groups.map(({ id, node, noiommu, state, viable, members }) => ({
      group: id,
      node,
      noiommu,
      state,
      viable,
      members: members.map(({ bdf: address, driver }) => ({ address, driver })),
    })),
    missing: obstacles.map(({ code, bdf: address, group, message, remedy, commands }) => ({
      code,
      address,
      group,
      message,
      remedy,
      commands,
    })),
  };
}

export function runJson({ survey, status, report, error }: ResetOutcome) {
  return {
    address: survey.bdf,
    status,
    functions: (
      report?.functions ?? survey.functions.map(({ bdf }) => ({ bdf, outcome: "untouched", changed: [] }))
    ).map(({ bdf: address, outcome, changed }) => ({ address, outcome, changed })),
    groups: report?.groups ?? [],
    milliseconds: report === null || report.ms === null ? null : Math.round(report.ms * 1000) / 1000,
    error: error && { code: error.code, errno: error.errno ?? null, message: error.message, hint: error.hint ?? null },
    plan: planJson(survey),
  };
}

function functionJson(facts: FunctionFacts) {
  const { bdf, vendor, device, classCode, driver, group, bridge, physicalFunction, resetMethods } = facts;
  return {
    address: bdf,
    vendor,
    device,
    classCode,
    className: classCode === null ? null : className(classCode),
    driver,
    group,
    bridge,
    physicalFunction,
    resetMethods,
  };
}
