// The sequences of test/sequences.test.ts, many and long. A failure prints seed and path; give them to assertSequences.
import { describe, it } from "vitest";
import { assertSequences } from "../sequences/property.ts";

describe.each(["6.12", "6.1", "4.12"] as const)("vfio-core sequences on %s", (kernel) => {
  it("vfio-core sequences: 5000 of them agree with the rules and give everything back", () => {
    assertSequences(kernel, { numRuns: 5000, maxCommands: 120 });
  });
});
