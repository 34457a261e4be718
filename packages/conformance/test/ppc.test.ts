// Every recorded case of the real POWER kernels, on the model.
import { describe, expect, it } from "vitest";
import { loadRecording, modelMachine, playCase, shippedRecordings } from "../src/index.ts";

const machine = modelMachine();
const recordings = shippedRecordings()
  .map((file) => loadRecording(file))
  .filter(({ cases }) => cases[0]?.format === "ppc");

describe.each(recordings.map((recording) => [recording.name, recording] as const))("conformance %s", (_, { cases }) => {
  it.each(cases.map((each) => [each.name, each] as const))("%s", (_name, recorded) => {
    const { differences, steps } = playCase(recorded, machine);
    expect(differences).toEqual([]);
    expect(steps).toBeGreaterThan(0);
  });
});
