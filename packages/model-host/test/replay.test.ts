import { describe, expect, it } from "vitest";
import { loadRecording } from "./replay/recording.ts";
import { replay } from "./replay/run.ts";

const FILES = ["pnv9-64k", "pnv9-4k", "ps-64k", "pnv9-64k-fixed-crash"];

describe.each(FILES)("model-host: recorded kernel %s answers the same", (file) => {
  const recording = loadRecording(file);
  it.each([...recording.cases.keys()])("%s", (name) => {
    const { compared, skipped, differences } = replay(recording, name);
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(0);
    expect(skipped).toBe(0);
  });
});
