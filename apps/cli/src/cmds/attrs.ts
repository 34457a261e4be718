// `minivmm attrs`: memory types of a described VM's pages, who pins them, whether DMA snoops. Nothing is started.
import { surveyContainers } from "@minivmm/vmm/attributes";
import { describePages } from "../describe/attrs-report.ts";
import { reportJson } from "../describe/json.ts";
import { EXIT_OK } from "../errors.ts";
import { openHost } from "../host/open.ts";
import { type CliIo, outStyle } from "../io.ts";
import { type DescribeRequest, passedFunctions } from "../options/describe-request.ts";
import { renderAttrs } from "../render/attrs.ts";

/** Throws MinivmmError for a function that is not there. */
export async function attrs(request: DescribeRequest, io: CliIo): Promise<number> {
  const passed = passedFunctions(request);
  using opened = await openHost(request.host);
  const containers = surveyContainers(opened.host, passed, { apart: request.kind === "pc" });
  const report = describePages(opened.host, opened.title, request, containers);
  io.stdout.write(request.json ? reportJson(report) : renderAttrs(report, outStyle(io)));
  return EXIT_OK;
}
