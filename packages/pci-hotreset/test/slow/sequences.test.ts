// The sequences of test/sequences.test.ts, many and long. A failure prints seed and path; give them to
// assertHotResetSequences.
import { describe, it } from "vitest";
import { assertHotResetSequences } from "../sequences/property.ts";

describe.each(["6.12", "6.1"] as const)("pci-hotreset sequences on %s", (kernel) => {
  it("pci-hotreset sequences: 6000 of them agree with the rules and give everything back", () => {
    assertHotResetSequences(kernel, { numRuns: 6000, maxCommands: 100 });
  });
});
