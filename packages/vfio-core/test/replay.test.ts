// Recorded cases of real 6.12 and 6.1 kernels, played on the model: every return value, errno and field must agree.
import { describe, expect, it } from "vitest";
import { Player } from "./replay/player.ts";
import { recordedCases } from "./replay/recordings.ts";
import { rig } from "./replay/rig.ts";

describe.each(["6.12", "6.1"] as const)("vfio-core recordings of Linux %s", (kernel) => {
  const cases = recordedCases(new URL(`./recordings/x86-${kernel}.jsonl`, import.meta.url));
  it.each(cases.map((each) => [each.name, each] as const))("vfio-core: %s", (_name, each) => {
    const player = new Player(rig(kernel));
    const differences: string[] = [];
    for (const step of each.steps) {
      const difference = player.play(step);
      if (difference) differences.push(`step ${step.step} ${JSON.stringify(step.do).slice(0, 160)}: ${difference}`);
    }
    expect(differences, differences.join("\n")).toEqual([]);
  });
});
