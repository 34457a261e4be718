// Random sequences of calls by several processes, against a reference; the long run is test/slow.
import { describe, it } from "vitest";
import { assertSequences } from "./sequences/property.ts";

describe.each(["6.12", "6.1", "4.12"] as const)("vfio-core sequences on %s", (kernel) => {
  it("vfio-core sequences: every call is answered by the rules, and all that was taken is given back", () => {
    assertSequences(kernel, { numRuns: 150, maxCommands: 60 });
  });
});
