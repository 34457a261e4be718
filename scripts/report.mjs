// Adds up the test reports that each package leaves in reports/test.json (vitest's JSON format; turbo restores them
// from its cache, so a package whose tests did not have to run again is counted all the same).
// A file that could not be loaded, or a package without a report, counts as one failure: nothing goes missing silently.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";

const GROUPS = ["packages", "apps", "tooling"];

/** Folders of all workspace packages that have a `test` script, relative to the root. */
export function testedPackages(root) {
  return GROUPS.flatMap((group) =>
    existsSync(join(root, group)) ? readdirSync(join(root, group)).map((name) => join(group, name)) : [],
  )
    .filter((folder) => existsSync(join(root, folder, "package.json")))
    .filter((folder) => JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")).scripts?.test)
    .sort();
}

/** Takes away the reports of earlier runs, so that only this run's (or the cache's) are counted. */
export function clearReports(root) {
  for (const folder of testedPackages(root)) rmSync(join(root, folder, "reports/test.json"), { force: true });
}

/** Counts of one package: `{ folder, passed, failed, skipped: [{title, reason}], problems: [text] }`. */
export function readReport(root, folder) {
  const counts = { folder, passed: 0, failed: 0, skipped: [], problems: [] };
  const path = join(root, folder, "reports/test.json");
  if (!existsSync(path)) {
    return { ...counts, failed: 1, problems: ["left no test report (not built, or the run was cut short)"] };
  }
  for (const file of JSON.parse(readFileSync(path, "utf8")).testResults) {
    const before = counts.failed;
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed++;
      else if (test.status === "failed") {
        counts.failed++;
        counts.problems.push(test.fullName);
      } else counts.skipped.push({ title: test.fullName, reason: test.meta?.reason ?? "no reason given" });
    }
    if (file.status === "failed" && counts.failed === before) {
      counts.failed++;
      counts.problems.push(`${relative(join(root, folder), file.name)}: ${file.message || "could not be loaded"}`);
    }
  }
  return counts;
}

/** The closing lines of a test run; the last one is `N passed, N failed`. */
export function summaryLines(reports) {
  const lines = [];
  const width = Math.max(...reports.map((report) => report.folder.length));
  for (const report of reports) {
    const failed = report.failed > 0 ? `, ${report.failed} failed` : "";
    lines.push(`  ${report.folder.padEnd(width)}  ${String(report.passed).padStart(4)} passed${failed}`);
  }
  for (const { folder, skipped } of reports) {
    for (const { title, reason } of skipped) lines.push(`skipped: ${folder}: ${title} (${reason})`);
  }
  for (const { folder, problems } of reports)
    for (const problem of problems) lines.push(`failed: ${folder}: ${problem}`);
  const sum = (key) => reports.reduce((total, report) => total + report[key], 0);
  return [...lines, `${sum("passed")} passed, ${sum("failed")} failed`];
}
