// Random sequences of VFIO and KVM calls by several processes, against a reference; the long run is test/slow.
import { describe, it } from "vitest";
import { assertKvmSequences } from "./sequences/property.ts";

describe.each(["6.12", "6.1", "4.12"] as const)("kvm-device sequences on %s", (kernel) => {
  it.each([true, false])("kvm-device sequences: VMs count what is registered, coherent %s", (snoops) => {
    assertKvmSequences(kernel, snoops, { numRuns: 100, maxCommands: 60 });
  });
});
