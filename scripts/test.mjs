// `npm test`: installs and builds when needed, runs every package's tests through turbo (only what changed since the
// last run is run again), then prints the totals; the last line is `N passed, N failed`. Exit status 1 on any failure.
// Further arguments go to turbo, e.g. `npm test -- --filter=@minivmm/pci` or `npm test -- --force`.
import { checkNode, install, root, turbo } from "./bootstrap.mjs";
import { clearReports, readReport, summaryLines, testedPackages } from "./report.mjs";

checkNode();
install();
clearReports(root);
const extra = process.argv.slice(2);
const { status } = await turbo([
  "run",
  "test",
  "--concurrency=2",
  "--continue=dependencies-successful",
  "--output-logs=errors-only",
  ...extra,
]);
const partial = extra.some((argument) => argument.startsWith("--filter") || argument === "-F");
const reports = testedPackages(root)
  .map((folder) => readReport(root, folder))
  .filter((report) => !partial || !report.problems[0]?.startsWith("left no test report"));
// Turbo can fail where no test did (a build, say): that is a failure too.
if (status !== 0 && reports.every((report) => report.failed === 0)) {
  reports.push({ folder: "workspace", passed: 0, failed: 1, skipped: [], problems: [`turbo ended with ${status}`] });
}
const lines = summaryLines(reports);
process.stdout.write(`${lines.join("\n")}\n`);
process.exitCode = status !== 0 || reports.some((report) => report.failed > 0) ? 1 : 0;
