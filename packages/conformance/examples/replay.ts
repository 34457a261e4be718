// Does this model of VFIO answer like Linux? One recorded case, step by step, then a whole family of cases.
import { loadRecording, modelMachine, playCase, replayRecording, shippedRecordings } from "@minivmm/conformance";

const file = shippedRecordings().find((each) => each.endsWith("x86-6.12.jsonl.gz")) as string;
const recording = loadRecording(file);
const machine = modelMachine();

const one = recording.cases.find(({ name }) => name === "map.overlap");
if (one) {
  const { steps, differences } = playCase(one, machine);
  console.log(`${one.name}: ${steps} steps, ${differences.length} differences`);
}

const report = replayRecording(recording, machine, { only: (name) => name.startsWith("unmap.") });
console.log(`${report.recording}: ${report.passed} passed, ${report.failed} failed`);
for (const { differences } of report.cases) {
  for (const { case: name, step, expected, got } of differences) {
    console.log(`${name} step ${step}: expected ${expected}, got ${got}`);
  }
}
if (report.failed > 0) process.exitCode = 1;
