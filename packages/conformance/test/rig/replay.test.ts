// The same replay as on the modelled machine, on real kernels: it proves the host under the clients, the player and the
// recordings at once. MINIVMM_RIG_ALL=1 replays the recordings of our own too, which takes hours instead of minutes.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadRecording } from "../../src/index.ts";
import { recordingUrl, replayInRig, type TimedReport } from "./boot.ts";
import { exceptionFor } from "./exceptions.ts";

// The shorter name first: "-more" writes where some devices keep it.
const files = readdirSync(fileURLToPath(recordingUrl(".")))
  .filter((file) => /^x86-.*\.jsonl(\.gz)?$/.test(file) && (process.env.MINIVMM_RIG_ALL || !file.includes("-more")))
  .sort((a, b) => a.length - b.length);
const kernelOf = (file: string): string => /^x86-(\d+\.\d+)/.exec(file)?.[1] ?? "";
const kernels = [...new Set(files.map(kernelOf))].filter((kernel) => kernel !== "").sort();

/** Ways to boot, with the recordings that have cases of each. */
function waysOf(kernel: string): [string, string[]][] {
  const ways = new Map<string, string[]>();
  for (const file of files.filter((each) => kernelOf(each) === kernel)) {
    for (const way of new Set(loadRecording(recordingUrl(file)).cases.map(({ machine }) => machine.rig))) {
      ways.set(way, [...(ways.get(way) ?? []), file]);
    }
  }
  return [...ways];
}

function differences({ cases }: TimedReport, kernel: string): string[] {
  return cases
    .filter(({ name }) => !exceptionFor(name, kernel))
    .flatMap((each) => each.differences)
    .map((each) => `${each.case} ${each.step} ${each.call} ${each.field}: ${each.expected}, now ${each.got}`);
}

function summary({ recording, machine, passed, failed, cases, seconds }: TimedReport): string {
  const reasons = new Map<string, number>();
  for (const { skipped } of cases) if (skipped) reasons.set(skipped, (reasons.get(skipped) ?? 0) + 1);
  const skipped = [...reasons].map(([reason, count]) => `, ${count} skipped (${reason})`).join("");
  return `${recording} on ${machine}: ${passed} passed, ${failed} failed${skipped}, ${Math.round(seconds)} s`;
}

for (const kernel of kernels) {
  describe(`conformance on Linux ${kernel}`, () => {
    for (const [way, recordings] of waysOf(kernel)) {
      test(`conformance: ${recordings.join(" and ")} on a machine booted as ${way}`, async () => {
        const reports = await replayInRig({ kernel, way }, recordings);
        for (const report of reports) {
          console.log(summary(report));
          for (const { name, differences } of report.cases) {
            const exception = differences.length > 0 && exceptionFor(name, kernel);
            if (exception) console.log(`  ${name} may differ: ${exception.why}`);
          }
        }
        expect(reports.flatMap((report) => differences(report, kernel))).toEqual([]);
        expect(reports.every(({ passed, failed }) => passed + failed > 0)).toBe(true);
      });
    }
  });
}
