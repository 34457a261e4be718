// Random sequences of VFIO calls and hot resets by several processes, against a reference; the long run is test/slow.
import { describe, it } from "vitest";
import { assertHotResetSequences } from "./sequences/property.ts";

describe.each(["6.12", "6.1"] as const)("pci-hotreset sequences on %s", (kernel) => {
  it("pci-hotreset sequences: the plan says what the kernel answers, and who may reset is who owns all that is hit", () => {
    assertHotResetSequences(kernel, { numRuns: 150, maxCommands: 60 });
  });
});
