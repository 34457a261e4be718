// Recorded cases of real 6.12 and 6.1 kernels that concern type1: maps, unmaps, limits, dirty pages, DMA, containers.
import { describe, expect, it } from "vitest";
import { Player } from "./replay/player.ts";
import { recordedCases } from "./replay/recordings.ts";
import { rig } from "./replay/rig.ts";
import "./replay/type1.ts";

/** What the other ways to boot the recorded machine change. */
const RIGS = {
  full: {},
  aw39: { type1: { addressWidth: 39 } },
  nointremap: { type1: { interruptRemapping: false }, multiMsi: false },
};

describe.each(["6.12", "6.1"] as const)("vfio-core type1 recordings of Linux %s", (kernel) => {
  const cases = recordedCases(new URL(`./recordings/type1-${kernel}.jsonl.gz`, import.meta.url));
  it.each(cases.map((each) => [each.name, each] as const))("vfio-core type1: %s", (_name, each) => {
    const player = new Player(rig(kernel, RIGS[each.rig as keyof typeof RIGS]));
    const differences: string[] = [];
    for (const step of each.steps) {
      const difference = player.play(step);
      if (difference) differences.push(`step ${step.step} ${JSON.stringify(step.do).slice(0, 160)}: ${difference}`);
    }
    expect(differences, differences.join("\n")).toEqual([]);
  });
});
