// `minivmm memlock`: what a described VM will have charged as locked memory, against the limit. Nothing is locked.
import { surveyContainers } from "@minivmm/vmm/attributes";
import { reportJson } from "../describe/json.ts";
import { describeLocks } from "../describe/memlock-report.ts";
import { EXIT_FAILURE, EXIT_OK } from "../errors.ts";
import { openHost } from "../host/open.ts";
import { type CliIo, outStyle } from "../io.ts";
import { type DescribeRequest, passedFunctions } from "../options/describe-request.ts";
import { renderMemlock } from "../render/memlock.ts";

/** 0 when the VM would start within the limit, else 1. Throws MinivmmError for a function that is not there. */
export async function memlock(request: DescribeRequest, io: CliIo): Promise<number> {
  const passed = passedFunctions(request);
  using opened = await openHost(request.host);
  const containers = surveyContainers(opened.host, passed, { apart: request.kind === "pc" });
  const report = describeLocks(opened.host, opened.title, request, containers);
  io.stdout.write(request.json ? reportJson(report) : renderMemlock(report, outStyle(io)));
  return report.verdict === "fits" || report.verdict === "fits-start" ? EXIT_OK : EXIT_FAILURE;
}
