// The sequences of test/sequences.test.ts, many and long. A failure prints seed and path; give them to assertKvmSequences.
import { describe, it } from "vitest";
import { assertKvmSequences } from "../sequences/property.ts";

describe.each(["6.12", "6.1", "4.12"] as const)("kvm-device sequences on %s", (kernel) => {
  it.each([true, false])("kvm-device sequences: 2500 of them agree with the rules, coherent %s", (snoops) => {
    assertKvmSequences(kernel, snoops, { numRuns: 2500, maxCommands: 100 });
  });
});
