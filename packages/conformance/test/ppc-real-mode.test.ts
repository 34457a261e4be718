// Every recorded POWER case once more with real mode in front, which the recorded kernels no longer have: a guest cannot
// tell who answered it.
import { describe, expect, it } from "vitest";
import { loadRecording, modelMachine, playCase, shippedRecordings } from "../src/index.ts";

const machine = modelMachine({ realMode: true });
const recordings = shippedRecordings()
  .map((file) => loadRecording(file))
  .filter(({ cases }) => cases[0]?.format === "ppc");

describe("conformance real mode", () => {
  it.each(recordings.map(({ name, cases }) => [name, cases] as const))("%s", (_name, cases) => {
    const different = cases.filter((each) => playCase(each, machine).differences.length > 0);
    expect(different.map(({ name }) => name)).toEqual([]);
    expect(cases.length).toBeGreaterThan(0);
  });
});
