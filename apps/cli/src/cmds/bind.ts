// `minivmm bind` and `minivmm unbind`: functions to vfio-pci (or another driver), and back to the host.
// Nothing is written unless everything that was asked for can be; a failure on the way is undone.
import type { Host } from "@minivmm/host";
import { CliError, EXIT_OK } from "../errors.ts";
import { type BindOutcome, type BindPlan, carryOutBinding, planBinding, wholeGroups } from "../host/binding.ts";
import { openHost } from "../host/open.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { BindRequest } from "../options/bind-request.ts";
import { bindJson, renderBinding, renderIntent } from "../render/bind.ts";

/** 0 when everything is as asked, or would be (--dry-run). Throws CliError: NO_DEVICE, the code of an obstacle, BIND_FAILED. */
export async function bind(request: BindRequest, io: CliIo): Promise<number> {
  using opened = await openHost(request.host);
  return bindOn(opened.host, request, io);
}

/** The same on a host that is open already. */
export function bindOn(host: Host, request: BindRequest, io: CliIo): number {
  const { action, driver, group, dryRun, json } = request;
  const addresses = group ? wholeGroups(host, request.addresses) : request.addresses;
  const plans = addresses.map((each) => planBinding(host, action, each, driver));
  const style = outStyle(io);
  const refusal = refusalOf(request, plans);
  if (!json && refusal === null) io.stdout.write(renderIntent(request, plans, style));
  const outcome = refusal ?? (dryRun ? planned(plans) : carryOutBinding(host, action, plans, driver));
  if (json) io.stdout.write(`${JSON.stringify(bindJson(host, request, outcome), null, 2)}\n`);
  else io.stdout.write(renderBinding(host, request, outcome, style));
  if (outcome.error) throw outcome.error;
  return EXIT_OK;
}

function planned(plans: readonly BindPlan[]): BindOutcome {
  const reports = plans.map((plan) => ({
    plan,
    status: plan.steps.length === 0 ? ("unchanged" as const) : ("planned" as const),
    driver: plan.facts.driver,
  }));
  return { reports, error: null, left: [] };
}

/** Null when nothing stands against it, or all of it is overruled. */
function refusalOf({ action, force }: BindRequest, plans: readonly BindPlan[]): BindOutcome | null {
  const against = plans.flatMap(({ obstacles }) => obstacles.filter(({ forcible }) => !(forcible && force)));
  const [first] = against;
  if (first === undefined) return null;
  const others = against.length === 1 ? "" : `, and ${against.length - 1} more`;
  const error = new CliError(`nothing was ${action === "bind" ? "bound" : "given back"}: ${first.message}${others}`, {
    code: first.code,
    details: { obstacles: against },
    hint: first.remedy,
  });
  const reports = plans.map((plan) => ({
    plan,
    status: plan.obstacles.some((each) => against.includes(each)) ? ("refused" as const) : ("skipped" as const),
    driver: plan.facts.driver,
  }));
  return { reports, error, left: [] };
}
