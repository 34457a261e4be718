// `minivmm doctor` for people and for programs. Keys of the JSON and names of checks are stable; the README lists them.
import type { Host } from "@minivmm/host";
import { oneLine } from "../errors.ts";
import { type CheckResult, type CheckStatus, counted } from "../host/checks/check.ts";
import type { DoctorRequest } from "../options/doctor-request.ts";
import type { Style } from "./style.ts";

const PAINT: Readonly<Record<CheckStatus, (style: Style, text: string) => string>> = {
  PASS: (style, text) => style.good(text),
  WARN: (style, text) => style.accent(text),
  FAIL: (style, text) => style.bad(text),
};

const countOf = (results: readonly CheckResult[], status: CheckStatus): number =>
  results.filter((each) => each.status === status).length;

/** A line for each check, its remedy below it, and a verdict; with a final newline. */
export function renderDoctor(title: string, results: readonly CheckResult[], style: Style): string {
  const width = Math.max(...results.map(({ id }) => id.length));
  const lines = results.flatMap(({ id, status, message, remedy }) => [
    `${PAINT[status](style, status)}  ${id.padEnd(width)}  ${oneLine(message)}`,
    ...(remedy === null ? [] : [`${" ".repeat(width + 8)}${style.bold("->")} ${oneLine(remedy)}`]),
  ]);
  const [failed, warned] = [countOf(results, "FAIL"), countOf(results, "WARN")];
  const warnings = warned === 0 ? "" : `, ${counted(warned, "warning")}`;
  const verdict =
    failed === 0
      ? style.good(`${title} is ready${warnings}`)
      : style.bad(`${title} is not ready: ${counted(failed, "failure")}${warnings}`);
  return `${[...lines, "", verdict].join("\n")}\n`;
}

export function doctorJson(host: Host, { memoryBytes, device }: DoctorRequest, results: readonly CheckResult[]) {
  return {
    host: host.name,
    memory: memoryBytes,
    device,
    ready: countOf(results, "FAIL") === 0,
    counts: { pass: countOf(results, "PASS"), warn: countOf(results, "WARN"), fail: countOf(results, "FAIL") },
    checks: results.map(({ id, status, message, remedy, details }) => ({ id, status, message, remedy, details })),
  };
}
