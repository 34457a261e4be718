// `minivmm reset`: what a bus reset of a function would hit and what is missing for it (plan), and doing it (run).
// Functions that one reset hits together are one entry. Nothing is reset unless everything that was asked for can be.
import { type Host, MinivmmError } from "@minivmm/host";
import { carryOutHotReset, type HotResetSurvey, surveyHotReset } from "@minivmm/pci-hotreset";
import { CliError, EXIT_FAILURE, EXIT_OK } from "../errors.ts";
import { openHost } from "../host/open.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { ResetRequest } from "../options/reset-request.ts";
import { planJson, type ResetOutcome, runJson } from "../render/reset-json.ts";
import { renderPlan } from "../render/reset-plan.ts";
import { renderOutcome } from "../render/reset-run.ts";

/** `plan`: 0 when the kernel would accept every reset, else 1. `run`: 0 when every reset was done. Throws MinivmmError. */
export async function reset(request: ResetRequest, io: CliIo): Promise<number> {
  using opened = await openHost(request.host);
  return resetOn(opened.host, opened.title, request, io);
}

/** The same on a host that is open already. */
export function resetOn(host: Host, title: string, request: ResetRequest, io: CliIo): number {
  const surveys = surveyEach(host, request.addresses);
  const style = outStyle(io);
  const accepted = surveys.every(({ obstacles }) => obstacles.length === 0);
  if (request.action === "plan") {
    const text = () => surveys.map((survey) => renderPlan(title, survey, style)).join("\n");
    io.stdout.write(request.json ? json(surveys.map(planJson)) : text());
    return accepted ? EXIT_OK : EXIT_FAILURE;
  }
  const outcomes = accepted ? runEach(host, surveys, request.dryRun) : surveys.map(refusedOrSkipped);
  const text = () => outcomes.map((outcome) => renderOutcome(title, outcome, style)).join("\n");
  io.stdout.write(request.json ? json(outcomes.map(runJson)) : text());
  const failed = outcomes.find(({ error }) => error !== null);
  if (failed?.error) throw failed.error;
  return EXIT_OK;
}

/** One survey for all functions that are reset together. Throws VfioError NO_DEVICE. */
function surveyEach(host: Host, addresses: readonly string[]): HotResetSurvey[] {
  const surveys: HotResetSurvey[] = [];
  for (const address of addresses) {
    const survey = surveyHotReset(host, address);
    if (!surveys.some(({ reach }) => reach.functions.includes(address))) surveys.push(survey);
  }
  return surveys;
}

/** After a failure the rest is left alone. */
function runEach(host: Host, surveys: readonly HotResetSurvey[], dryRun: boolean): ResetOutcome[] {
  let failed = false;
  return surveys.map((survey) => {
    if (failed) return { survey, status: "skipped", report: null, error: null };
    try {
      const report = carryOutHotReset(host, survey, { dryRun });
      failed = report.error !== null;
      return { survey, status: report.status, report, error: report.error };
    } catch (error) {
      if (!(error instanceof MinivmmError)) throw error;
      failed = true;
      return { survey, status: "failed", report: null, error };
    }
  });
}

function refusedOrSkipped(survey: HotResetSurvey): ResetOutcome {
  const [first, ...more] = survey.obstacles;
  if (first === undefined) return { survey, status: "skipped", report: null, error: null };
  const others = more.length === 0 ? "" : `, and ${more.length} more`;
  const error = new CliError(`${survey.bdf} was not reset: ${first.message}${others}`, {
    code: "RESET_REFUSED",
    details: { address: survey.bdf, missing: survey.obstacles },
    hint: first.remedy,
  });
  return { survey, status: "refused", report: null, error };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
