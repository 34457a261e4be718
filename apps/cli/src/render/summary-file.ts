// Where a summary goes: "-" is text on standard error, FILE.json is JSON, any other file is text.
import { writeFileSync } from "node:fs";
import type { Writable } from "node:stream";
import type { VmSummary } from "@minivmm/vmm";
import { CliError, reasonOf } from "../errors.ts";
import { type Style, styleFor } from "./style.ts";
import { renderSummary } from "./summary.ts";

/** Throws CliError SUMMARY_FILE when the file cannot be written. */
export function writeSummary(path: string, summary: VmSummary, stderr: Writable, style: Style): void {
  if (path === "-") {
    stderr.write(`\n${renderSummary(summary, style)}\n`);
    return;
  }
  const json = path.endsWith(".json");
  const text = json ? JSON.stringify(summary, null, 2) : renderSummary(summary, styleFor({}, {}));
  try {
    writeFileSync(path, `${text}\n`);
  } catch (cause) {
    throw new CliError(`cannot write the summary: ${path}: ${reasonOf(cause)}`, {
      code: "SUMMARY_FILE",
      hint: "give a file in a folder that exists, or - for standard error",
      cause,
    });
  }
}
